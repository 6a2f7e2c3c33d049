"""Prints the output channels of every convolution of timm's pruned networks, as `src/arch/pruned.rs` has them.

    python tests/oracle/pruned.py

Needs timm 1.0.31. Reads `timm/models/_pruned/*.txt`: names and shapes of the state dict, in its order.
"""

import pathlib

import timm

for file in sorted((pathlib.Path(timm.__file__).parent / "models" / "_pruned").glob("*.txt")):
    widths = []
    for entry in file.read_text().strip().split("***"):
        name, shape = entry.split(":")
        dims = [int(d) for d in shape[1:-1].split(",") if d.strip()]
        if name.endswith(".weight") and len(dims) == 4:
            widths.append(dims[0])
    print(f'("{file.stem}", &{widths}),')
