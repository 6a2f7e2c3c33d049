//! The environment variables that zoo reads, in one table: `zoo help env` prints it, and a test holds that
//! the sources read these and no others.

/// A variable, and what it does.
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
}

macro_rules! variables {
    ($($name:literal: $what:literal,)*) => {
        pub(super) const VARIABLES: &[Variable] = &[$(Variable { name: $name, what: $what }),*];
    };
}

variables! {
    "ZOO_HOME": "where downloads and locks are kept, instead of `zoo` in the user's cache folder (XDG)",
    "ZOO_OFFLINE": "use no network, as `--offline`; 0, no and false mean not",
    "ZOO_MIRROR": "where to look for files first, as `--mirror`",
    "ZOO_ISA": "the kernels' instruction set: avx512, avx2 or portable; the best there is without it",
    "ZOO_DEVICE": "where networks run, as `--device`: auto, cpu, cuda or cuda:N",
    "HF_ENDPOINT": "the Hugging Face hub that `hf:` sources are on, instead of https://huggingface.co",
    "HF_TOKEN": "the token that `hf:` sources are asked with; never printed",
    "HF_HOME": "Hugging Face's cache, read so that nothing is downloaded twice [~/.cache/huggingface]",
    "TORCH_HOME": "torch's cache, read likewise [~/.cache/torch]",
    "XDG_CACHE_HOME": "where those two caches are by default, instead of ~/.cache",
    "HTTPS_PROXY": "the proxy for `https:` addresses (also in lower case)",
    "HTTP_PROXY": "the proxy for `http:` addresses (also in lower case)",
    "ALL_PROXY": "the proxy for both (also in lower case)",
    "NO_PROXY": "hosts that are asked directly (also in lower case)",
    "SSL_CERT_FILE": "the certificates (PEM) of the authorities to trust, instead of the system's",
    "SSL_CERT_DIR": "a folder of such files",
    "COLUMNS": "the width that tables are fitted to, even where output is not a terminal",
    "NO_COLOR": "no colours",
    "CLICOLOR_FORCE": "colours even where output is not a terminal",
    "FORCE_COLOR": "the same",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
        for path in crate::fs::list(folder).unwrap() {
            if path.is_dir() {
                sources(&path, out);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                out.push(path);
            }
        }
    }

    #[test]
    fn the_table_is_what_the_sources_read() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let reads =
            regex::Regex::new(r#"(?:var_os|env::var|set)\("([A-Z][A-Z0-9_]+)"\)|env = "([A-Z0-9_]+)""#)
                .unwrap();
        let mut found = BTreeSet::new();
        for file in files.iter().filter(|f| !f.ends_with("cli/environment.rs")) {
            let text = String::from_utf8(crate::fs::read(file, 1 << 20).unwrap()).unwrap();
            for hit in reads.captures_iter(&text) {
                found.insert(hit.get(1).or(hit.get(2)).unwrap().as_str().to_owned());
            }
        }
        // `HOME` is every program's; `ZOO_BLESS` rewrites this repository's own files in tests.
        let own = ["HOME", "ZOO_BLESS"];
        // The HTTP client reads the proxies and the folder of certificates itself.
        let proxies = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_DIR"];
        let table: BTreeSet<_> = VARIABLES.iter().map(|v| v.name).collect();
        let unlisted: Vec<_> =
            found.iter().filter(|n| !table.contains(n.as_str()) && !own.contains(&n.as_str())).collect();
        assert!(unlisted.is_empty(), "read, and not in the table: {unlisted:?}");
        let unread: Vec<_> = table.iter().filter(|n| !found.contains(**n) && !proxies.contains(n)).collect();
        assert!(unread.is_empty(), "in the table, and read nowhere: {unread:?}");
    }
}
