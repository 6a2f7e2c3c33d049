//! The script that asks timm for the logits of a file's weights: ten lines that people read before they run them.
//!
//! In: an architecture, a file under timm's names, its digest. Out: Python. Called by `zoo golden record`.

use super::safe::python;
use crate::hash::Sha256;
use crate::verify::golden::{SCHEMA, SEED};

/// The script whose output [`crate::verify::golden::GoldenRecord::open`] takes. It needs timm, torch and safetensors.
pub fn script(arch: &str, classes: usize, file: &str, tensors_sha256: Sha256, size: usize) -> String {
    format!(
        "\
import base64, hashlib, json, numpy as np, safetensors.torch, timm, torch
model = timm.create_model({arch}, num_classes={classes}).eval()
model.load_state_dict(safetensors.torch.load_file({file}), strict=True)
z = np.uint64(int.from_bytes(hashlib.sha256(b'{SEED}/input').digest()[:8], 'little')) + np.arange(1, 3 * {size} * {size} + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
x = (6 * (((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float64) / 2**24) - 3).astype(np.float32)
logits = model(torch.from_numpy(x.reshape(1, 3, {size}, {size}))).detach().numpy().astype('<f4')
print(json.dumps({{'schema': '{SCHEMA}', 'arch': {arch}, 'tensors_sha256': '{tensors_sha256}', 'size': {size},
    'timm': timm.__version__, 'torch': torch.__version__, 'logits': base64.b64encode(logits.tobytes()).decode()}}))
",
        arch = python(arch),
        file = python(file),
    )
}
