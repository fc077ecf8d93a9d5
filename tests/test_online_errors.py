"""What on-line learning refuses, and how it says so."""

from __future__ import annotations

import json

import pytest
import torch

import carousel as ca
from carousel import cells
from carousel.engines.native_call import _core

SIZES = {"input_size": 3, "hidden_size": 4, "output_size": 2}


def online(cell=None, **settings) -> ca.Online:
    given = {**SIZES, "rule": ca.SGD(0.1), "nets": 2, **settings}
    return ca.Online(ca.readout(cells.elman) if cell is None else cell, **given)


@ca.cell
def clipped(x, h, p):
    h = ca.tanh(p.W @ x + ca.clip_gradient(p.U @ h, 1.0))
    return h


@pytest.mark.parametrize(
    "cell, message",
    [
        (cells.elman, r"no output of its own.*ca.readout\(elman\)"),
        (ca.readout(clipped), "clip_gradient"),
        (ca.readout(ca.zoneout(cells.elman, h=0.1)), "side input zoneout_h"),
        (ca.readout(cells.time_aware_lstm), "side input"),
    ],
)
def test_equations_that_cannot_be_learned_on_line(cell, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        online(cell)


def test_a_cell_with_matrices_is_refused() -> None:
    with pytest.raises(TypeError, match="TensorCell"):
        online(cells.mlstm)
    with pytest.raises(TypeError, match="TensorCell"):
        ca.readout(cells.mlstm)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"form": "traces"}, 'form is "traces", but in readout.elman. units of h depend on other units of h'),
        ({"form": "rtrl"}, "form is 'rtrl', expected one of: auto, traces, exact"),
        ({"loss": "mse"}, "loss is 'mse'"),
        ({"update": "epoch"}, "update is 'epoch'"),
        ({"nets": 0}, "nets is 0"),
        ({"dtype": torch.bfloat16}, "dtype is torch.bfloat16"),
        ({"hidden_size": 200}, "has 8160000 sensitivities"),
        ({"rule": ca.SGD(torch.ones(3))}, "3 rates were given for 2 nets"),
    ],
)
def test_settings(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        online(**settings)


def test_a_loss_that_does_not_fit_the_output() -> None:
    with pytest.raises(ValueError, match="cross entropy, and the output of .* is made by tanh"):
        online(ca.readout(cells.elman, output=ca.tanh), loss="cross entropy")


@pytest.mark.parametrize("given", [{"rate": -1.0}, {"rate": 0.1, "momentum": 1.0}, {"rate": 0.1, "decay": 0.0}])
def test_rules(given: dict) -> None:
    with pytest.raises(ValueError, match="SGD: "):
        ca.SGD(**given)


@pytest.mark.parametrize(
    "changed, message",
    [
        (
            {"inputs": torch.zeros(5, 2, 4)},
            r"inputs are numbers \(T, N, D\) of shape \(5, 2, 4\), expected \(T, 2, 3\)",
        ),
        ({"inputs": torch.zeros(5, 2)}, "inputs are numbers"),
        ({"inputs": torch.full((5, 2), 3)}, "indices from 3 to 3, expected -1 to 2"),
        ({"targets": torch.zeros(4, 2, 2)}, r"targets .* expected \(5, 2, 2\)"),
        ({"when": torch.ones(5, 2)}, "when is torch.float32"),
        ({"starts": torch.ones(5, 3, dtype=torch.bool)}, r"starts is torch.bool \(5, 3\)"),
        ({"lengths": torch.tensor([5, 6])}, "lengths are from 5 to 6, expected 0 to 5"),
        ({"tolerance": -0.1}, "tolerance is -0.1, expected a number from 0 on"),
        ({"tolerance": "0.1"}, "tolerance is '0.1'"),
        ({"begins": torch.ones(5, 2, dtype=torch.bool)}, "begins are given without a tolerance"),
        ({"begins": torch.ones(5, 2), "tolerance": 0.1}, "begins is torch.float32"),
    ],
)
def test_calls(changed: dict, message: str) -> None:
    given = {"inputs": torch.zeros(5, 2, 3), "targets": torch.zeros(5, 2, 2)}
    with pytest.raises(ValueError, match=message):
        online().learn(**{**given, **changed})


def test_a_tolerance_wants_targets() -> None:
    with pytest.raises(ValueError, match="give targets too"):
        online().predict(torch.zeros(5, 2, 3), tolerance=0.1)
    with pytest.raises(ValueError, match="targets without a tolerance"):
        online().predict(torch.zeros(5, 2, 3), targets=torch.zeros(5, 2, 2))


def test_parameters_and_states_of_another_shape() -> None:
    net = online()
    with pytest.raises(ValueError, match="is .* in the state that was given"):
        net.load_state_dict(online(hidden_size=5).state_dict())
    net.parameters["b"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"parameter b has shape \(3,\), expected \(2, 4\)"):
        net.predict(torch.zeros(5, 2, 3))


def test_readout() -> None:
    with pytest.raises(ValueError, match="no quantity 'q'"):
        ca.readout(cells.elman, sees=("q",))
    with pytest.raises(ValueError, match="expected names"):
        ca.readout(cells.elman, sees="h")
    with pytest.raises(ValueError, match="output units already"):
        ca.readout(ca.readout(cells.elman))


def test_a_program_that_leads_outside_is_refused() -> None:
    cell = ca.readout(cells.lstm_1997.with_(truncate=True))
    text = online(cell, hidden_size=1, blocks=1)._program.text
    for section in ("forward", "reverse", "gradients", "traces"):
        for k, instruction in enumerate(json.loads(text)[section]):
            for place, part in enumerate(instruction):
                if isinstance(part, int):
                    program = json.loads(text)
                    program[section][k][place] = 10**8
                    with pytest.raises(ValueError, match="online program"):
                        _core.OnlineProgram(json.dumps(program))
