//! Tests of the build: the plan, dependents, packaging, cross compilation.
