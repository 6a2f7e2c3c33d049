//! How results reach a sink: tables, JSON, and one escaping function a sink.

pub mod card;
pub mod cite;
pub mod entry;
pub mod eval_results;
pub mod feature_file;
pub mod fold;
pub mod golden_script;
pub mod learning_curve;
pub mod lint;
pub mod list;
pub mod npy;
pub mod page;
pub mod plot;
pub mod safe;
pub mod sarif;
pub mod scan;
pub mod table;
pub mod template;
pub mod tree;
pub mod verdict;
pub mod verdict_ci;
pub mod verdict_html;
