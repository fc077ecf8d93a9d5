"""The convolutional LSTM: the peephole LSTM whose products are convolutions.

Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation nowcasting", NIPS 2015,
arXiv:1506.04214.

    i_t = sigmoid(W_i x_t + U_i h_{t-1} + V_i * c_{t-1} + b_i)
    f_t = sigmoid(W_f x_t + U_f h_{t-1} + V_f * c_{t-1} + b_f)
    c_t = f_t * c_{t-1} + i_t * tanh(W_c x_t + U_c h_{t-1} + b_c)
    o_t = sigmoid(W_o x_t + U_o h_{t-1} + V_o * c_t + b_o)
    h_t = o_t * tanh(c_t)

In `carousel.ConvLSTM` x, h and c are images and W x and U h are convolutions that keep their size; in
`carousel.Recurrent` they are vectors and matrix products, which is the paper's FC-LSTM.
Known for: predicting rain from radar images, and the frames of a video.
Deviates from the paper: nothing. Its equations have peepholes V for each position, its printed parameter counts imply
one a channel; `carousel.ConvLSTM` has both, and one a channel unless told otherwise.
Oracle: ONNX's LSTM operator, with P = (V_i, V_o, V_f), for products; for convolutions Keras's ConvLSTM1D, 2D and 3D.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def conv_lstm(x, h, c, p):
    """Convolutional LSTM (Shi et al., 2015): its products are convolutions in the layer `ConvRecurrent`."""
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.V_i * c + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.V_f * c + p.b_f)
    c = f * c + i * tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.V_o * c + p.b_o)
    h = o * tanh(c)
    return h, c
