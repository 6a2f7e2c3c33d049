//! Verification: run a model over labelled images and judge its published claim.
//!
//! In: models, a dataset, [`Settings`]: a [`Session`]. Out: a [`Report`] with a verdict for each model.
//! Called by `zoo verify`, `zoo merge` and `zoo report`.
//!
//! | file | what it does |
//! | --- | --- |
//! | `session` | several models over one dataset, from specs to a report |
//! | `settings` | what decides a result: subset, tolerance, confidence, gates |
//! | `run` | one model over one dataset: what is on record, what must be computed, when to stop |
//! | `measure` | images to guesses, by the pipeline of `model` |
//! | `journal` | what was computed is written down as it is: resumed after a kill, never computed twice |
//! | `judge` | rows to counts, interval, verdict |
//! | `stats` | the statistics, functions of whole counts |
//! | `gates` | what CI asks beyond the verdict |
//! | `diagnose` | why a number does not match |
//! | `golden` | evidence without ImageNet: timm's logits on record |
//! | `plan` | what a run will be able to tell, fixed before it is run |
//! | `insight` | what the rows tell beyond the verdict |
//! | `merge` | the reports of shards to the report of the whole |
//! | `report` | the report's types, read and written |

mod claim;
pub mod diagnose;
mod error;
pub mod gates;
pub mod golden;
pub mod insight;
mod journal;
pub mod judge;
pub mod logits_record;
mod measure;
pub mod merge;
pub mod plan;
pub mod report;
mod run;
mod session;
mod settings;
pub mod stats;

pub use claim::Claimed;
pub use error::{Error, Result};
pub use merge::merge;
pub use report::Report;
pub use run::{Images, NullProgress, Outcome, RunOptions, RunProgress, run};
pub use session::{Candidate, Finished, Session, SessionOptions};
pub use settings::{Gates, OnBadImage, Settings, Shard};
