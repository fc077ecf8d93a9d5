"""Nets that learn on-line side by side, one a trial: their sequences or streams, and when each is done."""
