//! What in the cache is worth keeping: leftovers, what was not used for long, what exceeds a size; and what takes how much.
//! In: the inventory and a rule. Out: items to remove, or sums. Called by `zoo cache gc`, `zoo cache du` and `zoo doctor`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::error::Result;
use super::inventory::{Item, ItemKind, size};
use super::{Error, Store};
use crate::fs;
use crate::hash::Sha256;

/// What is to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidy {
    /// Files as they came whose conversion is here.
    pub sources: bool,
    /// What was not used for so long; leftovers younger than that stay.
    pub older_than: Option<Duration>,
    /// The bytes that may stay: what was not used for longest goes first.
    pub max_size: Option<u64>,
}

/// What one digest's file, its conversion and their names take.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct UsedBy {
    /// Who asked for it, by the registry's names.
    pub names: Vec<String>,
    /// Of the file as it came.
    pub sha256: Sha256,
    /// Bytes of the file or set as it came.
    pub source: u64,
    /// Bytes of the conversion.
    pub derived: u64,
    /// Seconds since it was last used.
    pub unused_for: Option<u64>,
}

impl Store {
    /// What nobody needs: broken-off downloads and leftovers of killed processes; with a rule also what it says. Nothing of a
    /// process that is fetching just now.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn garbage(&self, tidy: &Tidy) -> Result<Vec<Item>> {
        let items = self.inventory()?;
        let busy = self.is_busy()?;
        Ok(choose(items, tidy, busy, SystemTime::now()))
    }

    /// What each file and set takes with its conversion, the largest first.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn usage(&self) -> Result<Vec<UsedBy>> {
        let now = SystemTime::now();
        let mut of: BTreeMap<Sha256, UsedBy> = BTreeMap::new();
        for item in self.inventory()? {
            let Some(sha256) = item.sha256 else { continue };
            let fresh = || UsedBy { names: Vec::new(), sha256, source: 0, derived: 0, unused_for: None };
            let row = of.entry(sha256).or_insert_with(fresh);
            if item.kind == ItemKind::Derived {
                row.derived += item.bytes
            } else {
                row.source += item.bytes
            }
            row.names.extend(item.record.iter().flat_map(|r| r.names.iter().cloned()));
            let unused = item.used.map(|used| since(used, now).as_secs());
            row.unused_for = row.unused_for.into_iter().chain(unused).min();
        }
        let mut rows: Vec<_> = of.into_values().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.source + row.derived));
        Ok(rows)
    }

    /// What else lies in the cache's folder (runs, features, recorded logits …), with its bytes: removed by nobody but the user.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn others(&self) -> Result<Vec<(PathBuf, u64)>> {
        let own = ["files", "derived", "sets", "partial", "scratch"];
        let mut others = Vec::new();
        for path in fs::list(self.home())? {
            if !own.iter().any(|name| path.ends_with(name)) {
                let bytes = size(&path)?;
                others.push((path, bytes));
            }
        }
        Ok(others)
    }

    /// Bytes free where the cache is, where the system tells.
    pub fn free_space(&self) -> Option<u64> {
        fs::free_space(self.home())
    }

    /// Whether the cache can be written, by writing to it.
    ///
    /// # Errors
    /// What the system says.
    pub fn can_write(&self) -> Result<()> {
        let folder = self.cache.folder("scratch");
        tempfile::tempfile_in(&folder).map(|_| ()).map_err(|e| Error::File(fs::at("write to", &folder)(e)))
    }
}

/// How long ago, by a clock that may have jumped: what is of the future is new.
fn since(used: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(used).unwrap_or_default()
}

fn choose(items: Vec<Item>, tidy: &Tidy, busy: bool, now: SystemTime) -> Vec<Item> {
    // A file and its conversion are used together.
    let mut used: BTreeMap<Sha256, SystemTime> = BTreeMap::new();
    for (sha256, time) in items.iter().filter_map(|i| Some((i.sha256?, i.used?))) {
        used.entry(sha256).and_modify(|last| *last = time.max(*last)).or_insert(time);
    }
    let is_old = |time: Option<SystemTime>, unless: bool| match (tidy.older_than, time) {
        (Some(limit), Some(time)) => since(time, now) > limit,
        _ => unless,
    };
    let converted: BTreeSet<_> =
        items.iter().filter(|i| i.kind == ItemKind::Derived).filter_map(|i| i.sha256).collect();
    let goes = |item: &Item| match (item.kind, item.sha256) {
        (ItemKind::Partial | ItemKind::Scratch, _) => !busy && is_old(item.used, true),
        (kind, Some(sha256)) => {
            let twice = kind == ItemKind::File && tidy.sources && converted.contains(&sha256);
            twice || is_old(used.get(&sha256).copied(), false)
        }
        (_, None) => false,
    };
    let (mut garbage, kept): (Vec<_>, Vec<_>) = items.into_iter().partition(goes);
    if let Some(max) = tidy.max_size {
        let mut total: u64 = kept.iter().map(|i| i.bytes).sum();
        let mut order: Vec<(SystemTime, Sha256)> =
            used.into_iter().map(|(sha256, time)| (time, sha256)).collect();
        order.sort();
        for (_, sha256) in order {
            if total <= max {
                break;
            }
            let group = kept.iter().filter(|i| i.sha256 == Some(sha256));
            total -= group.clone().map(|i| i.bytes).sum::<u64>();
            garbage.extend(group.cloned());
        }
    }
    garbage.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    garbage
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn item(kind: ItemKind, name: &str, bytes: u64, days: u64) -> Item {
        let now = SystemTime::UNIX_EPOCH + 1000 * DAY;
        // Negative ages are of a clock that has jumped.
        let used = if days > 2000 { now + DAY } else { now - u32::try_from(days).unwrap() * DAY };
        let sha256 =
            (!matches!(kind, ItemKind::Partial | ItemKind::Scratch)).then(|| Sha256::of(name.as_bytes()));
        Item { kind, path: format!("{kind:?}-{name}").into(), bytes, used: Some(used), sha256, record: None }
    }

    fn chosen(tidy: Tidy, busy: bool) -> Vec<String> {
        let items = vec![
            item(ItemKind::File, "old", 100, 50),
            item(ItemKind::Derived, "old", 110, 40),
            item(ItemKind::File, "read-today", 100, 50),
            item(ItemKind::Derived, "read-today", 110, 0),
            item(ItemKind::File, "plain", 30, 10),
            item(ItemKind::Set, "set", 20, 35),
            item(ItemKind::File, "future", 5, 3000),
            item(ItemKind::Partial, "part", 1, 2),
            item(ItemKind::Scratch, "scratch", 1, 60),
        ];
        let now = SystemTime::UNIX_EPOCH + 1000 * DAY;
        let garbage = choose(items, &tidy, busy, now);
        garbage.iter().map(|i| i.path.display().to_string()).collect()
    }

    #[test]
    fn what_goes_is_what_the_rule_says() {
        let plain = Tidy::default();
        assert_eq!(chosen(plain, false), ["Partial-part", "Scratch-scratch"]);
        assert_eq!(chosen(plain, true), [""; 0]);
        let sources = Tidy { sources: true, ..plain };
        assert_eq!(chosen(sources, true), ["File-old", "File-read-today"]);
        // Its conversion was read 40 days ago: that counts for the file too.
        let old = Tidy { older_than: Some(30 * DAY), ..plain };
        assert_eq!(chosen(old, false), ["File-old", "Set-set", "Derived-old", "Scratch-scratch"]);
        let older = Tidy { older_than: Some(45 * DAY), ..plain };
        assert_eq!(chosen(older, false), ["Scratch-scratch"]);
        // 475 bytes without leftovers: the least recently used go until it fits.
        for (max, expected) in [
            (475, &[][..]),
            (474, &["File-old", "Derived-old"][..]),
            (265, &["File-old", "Derived-old"]),
            (264, &["File-old", "Set-set", "Derived-old"]),
            (230, &["File-old", "File-plain", "Set-set", "Derived-old"]),
            (
                0,
                &[
                    "File-future",
                    "File-old",
                    "File-plain",
                    "File-read-today",
                    "Set-set",
                    "Derived-old",
                    "Derived-read-today",
                ],
            ),
        ] {
            let found = chosen(Tidy { max_size: Some(max), ..plain }, true);
            // Partial files of a process that is fetching count, and stay.
            let limit = Tidy { max_size: Some(max + 2), ..plain };
            assert_eq!(chosen(limit, true), expected, "{max}: {found:?}");
        }
        let all = Tidy { sources: true, older_than: Some(30 * DAY), max_size: Some(140) };
        assert_eq!(
            chosen(all, false),
            ["File-old", "File-plain", "File-read-today", "Set-set", "Derived-old", "Scratch-scratch"]
        );
    }
}
