//! The commands, one file each.

pub(crate) mod check;
pub(crate) mod completion;
pub(crate) mod diff;
pub(crate) mod echo;
pub(crate) mod explain;
pub(crate) mod generate;
pub(crate) mod log_level;
pub(crate) mod quickstart;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod support_bundle;
pub(crate) mod test;
pub(crate) mod translate;
