// A tile phase: panel by panel of columns, tile by tile of rows, products first and then the elementwise code.

// Copies between rows that end with their last column and rows that are longer.
template <class T>
inline void copy_tile(Reference<T> to, Reference<T> from, TileShape<T> shape) {
    map_tile(shape, to, [=](int m) { return [x = from[m]](int j, auto get) { return get(x + j); }; });
}

template <class T>
inline void broadcast_tile(Reference<T> to, T* const* from, TileShape<T> shape) {
    for (int m = 0; m < shape.rows; ++m)
        for (int v = 0; v < shape.vectors(); ++v) store<T>(to[m] + v * kLanes<T>, all(from[m][0]));
}

// The operands of all tiles in one panel. Some stand in scratch: temporaries; what is one column wide, in as many
// columns as the tile has; and in the last panel those that products take whole vectors of.
template <class T, int64_t height>
class PanelOperands {
  public:
    PanelOperands(const TileCall<T>& call, int64_t column, int64_t columns)
        : call_(call),
          column_(column),
          partial_(columns % kLanes<T> != 0),
          tallest_(int(call.rows < height ? call.rows : height), columns) {
        for (int i = 0; i < call.code->operand_count; ++i) {
            const Operand& o = call.code->operands[i];
            const bool in_scratch = o.temporary || is_staged(o);
            refs[i] = {in_scratch ? call.scratch + i * height : call.tables[i], in_scratch || o.constant ? 0 : column};
            outside_[i] = !in_scratch;
            if (is_staged(o)) staged_[staged_count_++] = i;
        }
    }

    // Moves on to the tile at a row.
    void begin(int64_t row, TileShape<T> shape) {
        for (int i = 0; i < call_.code->operand_count; ++i)
            if (outside_[i]) refs[i].rows = call_.tables[i] + row;
        for (int s = 0; s < staged_count_; ++s) {
            const int i = staged_[s];
            const Operand& o = call_.code->operands[i];
            if (o.same_rows && row > 0) continue;  // all tiles see the same
            const TileShape<T> tile = o.same_rows ? tallest_ : shape;
            if (o.broadcast)
                broadcast_tile<T>(refs[i], call_.tables[i] + row, tile);
            else if (o.read_first)
                copy_tile<T>(refs[i], outside(i, row), tile);
        }
    }

    void end(int64_t row, TileShape<T> shape) {
        for (int s = 0; s < staged_count_; ++s)
            if (call_.code->operands[staged_[s]].written)
                copy_tile<T>(outside(staged_[s], row), refs[staged_[s]], shape.with_bounds(true));
    }

    Reference<T> refs[kMostOperands];

  private:
    bool is_staged(const Operand& o) const { return o.broadcast || (partial_ && o.bounded && o.in_product); }

    Reference<T> outside(int i, int64_t row) const { return {call_.tables[i] + row, column_}; }

    const TileCall<T>& call_;
    const int64_t column_;
    const bool partial_;
    const TileShape<T> tallest_;
    bool outside_[kMostOperands];
    int staged_[kMostOperands], staged_count_ = 0;
};

// Tiles of nearly equal height: 8 rows are 4 + 4 rather than 6 + 2.
template <class F, class T = typename F::Value>
void run_tile_phase(const TileCall<T>& call) {
    const TileCode& code = *call.code;
    const int64_t tiles = (call.rows + kHeight<F> - 1) / kHeight<F>;
    [[maybe_unused]] const Registers<F> registers{};
    for (int64_t panel = call.first_panel; panel < call.last_panel; ++panel) {
        const int64_t column = panel * kPanel, columns = code.width - column < kPanel ? code.width - column : kPanel;
        PanelOperands<T, kHeight<F>> operands(call, column, columns);
        for (int64_t t = 0; t < tiles; ++t) {
            const int64_t row = call.rows * t / tiles, next = call.rows * (t + 1) / tiles;
            const TileShape<T> shape(int(next - row), columns), rounded_up(shape.rows, shape.vectors() * kLanes<T>);
            operands.begin(row, shape);
            run_products<F>(call, operands.refs, panel, row, shape, columns);
            for (int k = 0; k < code.instruction_count; ++k) {
                const Instruction& i = code.instructions[k];
                run_instruction<T>(i, operands.refs, i.bounded ? shape.with_bounds(i.bounded_dst) : rounded_up);
            }
            operands.end(row, shape);
        }
    }
}
