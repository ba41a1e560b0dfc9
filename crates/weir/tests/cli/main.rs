//! Runs the real binary, as users do: commands and their output, a gateway's life, the admin API, the quickstart.

mod access_log;
mod admin;
mod check;
mod diff;
mod echo;
mod explain;
mod generate;
mod golden;
mod handover;
mod hostile;
mod http;
mod manners;
mod metrics;
mod orders;
mod policy_test;
mod process;
mod quickstart;
mod run;
mod service;
mod shutdown;
