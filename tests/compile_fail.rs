//! Misuse of borrowed and owned things that must not compile.

#![cfg(feature = "inference")]

use std::time::Duration;

use llamakit_testkit::subprocess::Case;

#[test]
fn ownership_rules_are_checked_by_the_compiler() {
    // Checked as in a documentation build: types need no C++.
    let case = Case::new("trybuild")
        .env("DOCS_RS", "1")
        .time_limit(Duration::from_secs(900));
    let outcome = case.run(|| {
        trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
    });
    outcome.expect_success();
}
