"""Checkpoints as an old torch writes them, for checkpoints.py: runs under that torch's own Python.

    /usr/bin/python3 tests/oracle/checkpoints_old.py FOLDER

Debian 12's `python3-torch` is torch 1.13. Prints its version; which tensors a file holds is asked of today's
torch, by loading it.
"""
import collections
import sys

import torch

folder = sys.argv[1]
torch.manual_seed(13)


def both(name, value, **options):
    for kind, zipped in [("legacy", False), ("zip", True)]:
        path = f"{folder}/{name}-{kind}.pth"
        torch.save(value, path, _use_new_zipfile_serialization=zipped, **options)


network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
both("torch113-module", network.state_dict())
base = torch.randn(6, 8)
both("torch113-views", {"base": base, "t": base.t(), "row": base[2], "part": base[1:5:2, 3:], "e": base[:0]})
kinds = [torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.int64, torch.int32, torch.int16,
         torch.int8, torch.uint8, torch.bool]
both("torch113-types", {str(kind): torch.ones(2, 3).to(kind) for kind in kinds})
both("torch113-training", {"epoch": 7, "state_dict": network.state_dict(), "best": 71.5,
                           "optimizer": torch.optim.Adam(network.parameters()).state_dict()})
both("torch113-parameter", collections.OrderedDict(weight=torch.nn.Parameter(torch.randn(3, 3))))
both("torch113-protocol4", {"a": torch.randn(3), "b": torch.randn(2, 2)}, pickle_protocol=4)
torch.jit.save(torch.jit.script(network), f"{folder}/torch113-jit.pt")
print(torch.__version__)
