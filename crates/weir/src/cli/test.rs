//! The flags of `weir test`, and its help with an example of a test.

use std::path::PathBuf;

use clap::Args;

use super::{AnyFormat, ResourceArgs};

/// Run the tests of policies that are in files: which route a request takes, what applies to it, and why.
///
/// A test is a document of kind PolicyTest beside the resources; docs/policies/testing.md says what it may expect. No
/// network is needed, and `weir run` and `weir check` leave tests alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all passed, 1 some failed, 2 could not run (there are no tests, or one of them or its
resources cannot be read).

Examples:
  weir test ./gateway
  weir test ./gateway --junit results.xml
  weir test ./gateway/shop.test.yaml -o json

A test:
  apiVersion: weir.dev/v1alpha1
  kind: PolicyTest
  metadata:
    name: shop
  spec:
    tests:
    - name: the shop may be asked 5 times a minute
      request: {url: http://shop.example.com/cart}
      expect:
        route: shop
        settings: {rateLimit.local.rules[0].limit.requests: 5}")]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) resources: ResourceArgs,
    /// Also write what came of the tests to this file, as JUnit's XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// How it is printed.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: AnyFormat,
}
