"""`make deploy-check`: the stacks are made, changed, broken and deleted, and the line runs under their roles, all here.

In order: `lint` (cfn-lint, checkov) · `lacking` (what the emulator has no word for is made on moto, or linted only) ·
`life` (a line's stacks from their creation to their end) · `roles` (the line under the roles of the stacks, with IAM
enforced; its whole contract) · `least` (each action of each policy is taken away once, and something fails).

The emulator is ministack, a newer one than the line's, in a virtual environment of its own: it wants other versions of
what the line uses.
"""
