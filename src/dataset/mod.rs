//! Labelled images: layouts, ids, order, subsets.
//!
//! In: a dataset's registry entry and where its images are (a folder, an archive, the store). Out: a
//! [`Dataset`], the same whatever layout the images were found in: ids, labels, and bytes by index.
//! Called by `model`'s users that need many images: `verify`, fine-tuning, `zoo dataset`.
//!
//! | file | what it does |
//! | --- | --- |
//! | `open` | from a name to a dataset: configured, given, fetched |
//! | `layout` | what a folder or archive holds, before anything is known of its classes |
//! | `label` | what a layout says of a class |
//! | `classes` | from that to a class index |
//! | `id` | ids, their order, the digest of labels |
//! | `check` | whether what is there is the dataset |
//! | `subset` | the first N of the order, or the ids of a file |
//! | `paths` | the folders that the user has named |

pub mod check;
mod classes;
mod error;
mod id;
mod label;
pub mod layout;
mod open;
mod paths;
mod subset;

pub use classes::Classes;
pub use error::{Error, Result};
pub use id::{digest_of_labels, order};
pub use label::{NameList, RawLabel};
pub(crate) use layout::is_system;
pub use open::{SearchLocations, open};
pub use paths::DatasetPaths;
pub use subset::Subset;

use crate::hash::Sha256;
use crate::registry::{DatasetEntry, Relation, labels};
use classes::Matcher;
use layout::Images;

/// One labelled image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The same in every layout: `00000293`, or `n02108422/imagenet_00_243`.
    pub id: String,
    /// Class indices that count as right, ascending; usually one, none where nobody labelled it.
    pub labels: Vec<usize>,
    /// Where it was found, for messages.
    pub path: String,
    /// Why it cannot count, though it should: there is no label.
    pub defect: Option<String>,
    /// Its number in the layout it came from.
    source: usize,
}

impl Item {
    /// Whether nobody labelled it, so that it does not count. (One whose label is missing does: as a bad image.)
    pub fn is_unlabelled(&self) -> bool {
        self.labels.is_empty() && self.defect.is_none()
    }
}

/// Images with labels, sorted by id.
pub struct Dataset {
    /// The entry's.
    pub name: String,
    /// How the images were found, such as `folders by synset`.
    pub layout: &'static str,
    /// What the images are of the claim's population.
    pub relation: Relation,
    /// Images in that population.
    pub population: u64,
    /// As pages name what they are about, such as `ImageNet`; none where no claim is.
    pub claims: Option<String>,
    /// How many classes its labels speak of.
    pub classes: usize,
    /// The classes that occur when they are fewer than the labels could say: only these compete.
    pub mask: Option<Vec<usize>>,
    /// Sorted by id.
    pub items: Vec<Item>,
    /// What a user should know of how it was read: what is missing, what was left out.
    pub notes: Vec<String>,
    images: Box<dyn Images>,
}

impl Dataset {
    /// Puts ids and labels to what a layout holds.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NoLabels`], [`Error::UnknownClass`], [`Error::AmbiguousClass`], [`Error::Duplicate`].
    pub fn new(entry: &DatasetEntry, listing: layout::Listing, classes: &Classes) -> Result<Self> {
        let layout::Listing { layout, found, images, place, notes } = listing;
        if found.is_empty() {
            return Err(Error::Empty { place, layout });
        }
        let mut items = Vec::with_capacity(found.len());
        let mut matcher = Matcher::new(classes);
        for (source, file) in found.into_iter().enumerate() {
            let mut labels = matcher.indices(&file.label, &file.path)?;
            let id = id::of(&file.path, &labels, classes);
            let mut defect = match file.label {
                RawLabel::Missing(reason) => Some(format!("it has no label: {reason}")),
                _ => None,
            };
            if entry.label_set.as_deref() == Some("real") {
                // Known for validation images only, by their number.
                let known = id.parse().ok().and_then(labels::real);
                labels = known.ok_or_else(|| Error::NoLabelSet { path: file.path.clone() })?;
                defect = None;
            }
            items.push(Item { id, labels, path: file.path, defect, source });
        }
        let first = items.first().and_then(|item| item.defect.clone());
        if let Some(reason) = first.filter(|_| items.iter().all(|item| item.defect.is_some())) {
            return Err(Error::NoLabels { place, images: items.len(), reason });
        }
        items.sort_by(|a, b| a.id.as_bytes().cmp(b.id.as_bytes()));
        if let Some([first, second]) = items.array_windows().find(|[a, b]| a.id == b.id) {
            let (id, first, second) = (first.id.clone(), first.path.clone(), second.path.clone());
            return Err(Error::Duplicate { id, first, second });
        }
        let mask = entry.mask.as_deref().and_then(labels::mask);
        if let Some(mask) = &mask
            && let Some((item, class)) = items.iter().find_map(|item| {
                let outside = item.labels.iter().find(|class| mask.binary_search(class).is_err())?;
                Some((item, *outside))
            })
        {
            let (path, found) = (item.path.clone(), format!("class {}", classes.id_name(class)));
            let of = format!("`{}`, which has {} of them", entry.name, mask.len());
            return Err(Error::UnknownClass { path, found, of, near: Vec::new() });
        }
        let population = entry.population.as_ref().map_or(items.len() as u64, |p| p.n);
        let relation = match entry.relation {
            // A part of the set that someone put into a folder is not the set.
            Relation::Census if !id::complete(&items, population) => Relation::Given,
            relation => relation,
        };
        let claims = entry.population.as_ref().map(|p| p.name.clone());
        Ok(Dataset {
            name: entry.name.clone(),
            layout,
            relation,
            population,
            claims,
            classes: classes.len(),
            mask,
            items,
            notes,
            images,
        })
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// What the file system or the archive says, naming the file; [`Error::is_of_one_image`] tells whether it matters to
    /// the others.
    pub fn bytes(&self, item: &Item) -> Result<Vec<u8>> {
        self.images.bytes(item.source)
    }

    /// The bytes of an image that may be bad: else why there is nothing to decode or to compare with, its own defect or a
    /// file that is not there.
    ///
    /// # Errors
    /// As [`Dataset::bytes`], of what concerns more than this image.
    pub fn bytes_or_defect(&self, item: &Item) -> Result<std::result::Result<Vec<u8>, String>> {
        if let Some(reason) = &item.defect {
            return Ok(Err(reason.clone()));
        }
        match self.bytes(item) {
            Err(error) if error.is_of_one_image() => Ok(Err(error.to_string())),
            bytes => Ok(Ok(bytes?)),
        }
    }

    /// The file's size in bytes.
    ///
    /// # Errors
    /// As [`Dataset::bytes`].
    pub fn size(&self, item: &Item) -> Result<u64> {
        self.images.size(item.source)
    }

    /// SHA-256 of which image has which label.
    pub fn labels_sha256(&self) -> Sha256 {
        digest_of_labels(self.items.iter().map(|i| (i.id.as_str(), i.labels.as_slice())))
    }

    /// A digest of the images as far as it can be had without reading them: changes when a file does.
    pub fn fingerprint(&self) -> Result<Sha256> {
        self.images.fingerprint()
    }

    /// Keeps only the images of a subset, and says what they now are of the population.
    ///
    /// # Errors
    /// [`Error::SubsetTooLarge`], [`Error::NotInDataset`].
    pub fn select(&mut self, subset: &Subset) -> Result<()> {
        subset.apply(&self.name, &mut self.items)?;
        self.relation = match (self.relation, subset) {
            (Relation::Census, Subset::Drawn { .. }) if self.items.len() as u64 != self.population => {
                Relation::Random
            }
            (Relation::Census, Subset::Listed(_)) if self.items.len() as u64 != self.population => {
                Relation::Given
            }
            (relation, _) => relation,
        };
        Ok(())
    }
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut d = f.debug_struct("Dataset");
        d.field("name", &self.name).field("layout", &self.layout).field("relation", &self.relation);
        d.field("images", &self.items.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
