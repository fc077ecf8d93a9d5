// A tile phase: panel by panel of columns, tile by tile of rows, products first and then the elementwise code.

template <class T>
inline void stage_in(T* const* to, T* const* from, int rows, int64_t column, int64_t columns) {
    for (int m = 0; m < rows; ++m)
        for (int64_t j = 0; j < columns; j += kLanes<T>) {
            int64_t left = columns - j;
            store<T>(to[m] + j, left < kLanes<T> ? load_part(from[m] + column + j, left) : load(from[m] + column + j));
        }
}

template <class T>
inline void stage_out(T* const* to, T* const* from, int rows, int64_t column, int64_t columns) {
    for (int m = 0; m < rows; ++m)
        for (int64_t j = 0; j < columns; j += kLanes<T>) {
            int64_t left = columns - j;
            if (left < kLanes<T>)
                store_part<T>(to[m] + column + j, load(from[m] + j), left);
            else
                store<T>(to[m] + column + j, load(from[m] + j));
        }
}

template <class T>
inline void broadcast_in(T* const* to, T* const* from, int rows, int vectors) {
    for (int m = 0; m < rows; ++m)
        for (int v = 0; v < vectors; ++v) store<T>(to[m] + v * kLanes<T>, all(from[m][0]));
}

template <class F, class T = typename F::Value>
void run_one_tile(const TileCall<T>& call, int64_t panel, int64_t row, int rows) {
    const TileCode& code = *call.code;
    const int64_t column = panel * kPanel;
    const int64_t columns = code.width - column < kPanel ? code.width - column : kPanel;
    const bool partial = columns % kLanes<T> != 0;
    const TileShape<T> shape{rows, int((columns + kLanes<T> - 1) / kLanes<T>)};
    Reference<T> refs[kMostOperands];
    for (int i = 0; i < code.operand_count; ++i) {
        const Operand& o = code.operands[i];
        T* const* scratch = call.scratch + i * kTileRows;
        T* const* table = o.temporary ? nullptr : call.tables[i] + row;
        if (o.temporary || o.broadcast || (partial && o.bounded)) {
            refs[i] = {scratch, 0};
            if (o.broadcast)
                broadcast_in<T>(scratch, table, rows, shape.vectors);
            else if (!o.temporary && o.read_first)
                stage_in<T>(scratch, table, rows, column, columns);
        } else {
            refs[i] = {table, o.constant ? 0 : column};
        }
    }
    run_products<F>(call, refs, panel, row, shape, columns);
    for (int i = 0; i < code.instruction_count; ++i) run_instruction<T>(code.instructions[i], refs, shape);
    for (int i = 0; partial && i < code.operand_count; ++i) {
        const Operand& o = code.operands[i];
        if (o.written && o.bounded && !o.temporary)
            stage_out<T>(call.tables[i] + row, call.scratch + i * kTileRows, rows, column, columns);
    }
}

// Tiles of nearly equal height: 8 rows are 4 + 4 rather than 6 + 2.
template <class F>
void run_tile_phase(const TileCall<typename F::Value>& call) {
    const int64_t tiles = (call.rows + kTileRows - 1) / kTileRows;
    for (int64_t panel = call.first_panel; panel < call.last_panel; ++panel)
        for (int64_t i = 0; i < tiles; ++i) {
            int64_t row = call.rows * i / tiles, next = call.rows * (i + 1) / tiles;
            run_one_tile<F>(call, panel, row, int(next - row));
        }
}
