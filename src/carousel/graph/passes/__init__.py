"""What is derived from a step: its reverse, what leaves the loop, what is kept, the programs of the native core.

In the order in which a cell goes through: `lowering`, `derivative`, `plan`, `emitting` and `assembling`; `compiling`
runs them all, `describing` says in words what they decided.
"""
