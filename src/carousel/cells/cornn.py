"""coRNN, a network of coupled, driven and damped oscillators.

Rusch & Mishra, "Coupled oscillatory recurrent neural network (coRNN): an accurate and (gradient) stable architecture
for learning long time dependencies", ICLR 2021, arXiv:2010.00951.

    z_t = z_{t-1} + dt * (tanh(W_x x_t + U_y y_{t-1} + U_z z_{t-1} + b) - gamma * y_{t-1} - eps * z_{t-1})
    y_t = y_{t-1} + dt * z_t

One step of size dt of the oscillators y'' = tanh(U_y y + U_z y' + W_x x + b) - gamma y - eps y', with z = y'.
`cornn.with_(implicit=True)` takes the damping at the end of the step, eps * z_t, as the paper has it too.
Known for: bounds on its gradients that are proved, and long sequences such as pixel-by-pixel MNIST and the adding
problem.
Deviates from the paper: its letters are W, calligraphic W and V for U_y, U_z and W_x. It searches dt, gamma and eps for
each task; 0.042, 2.7 and 4.7 are those of its sequential MNIST in the authors' code.
Oracle: torchrecurrent's coRNNCell, whose weight_ch is U_z and whose three biases add up to b.
"""

from carousel.graph import cell, tanh


@cell
def cornn(x, y, z, p, *, dt=0.042, gamma=2.7, eps=4.7, implicit=False):
    """Coupled oscillatory RNN (Rusch & Mishra, 2021)."""
    force = tanh(p.W_x @ x + p.U_y @ y + p.U_z @ z + p.b) - gamma * y
    z = (z + dt * force) / (1 + dt * eps) if implicit else z + dt * (force - eps * z)
    y = y + dt * z
    return y, z
