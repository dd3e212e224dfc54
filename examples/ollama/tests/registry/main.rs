//! Pulls and pushes against registries of their own, with everything that can go wrong on the way.

mod archive;
mod auth;
mod command;
mod faults;
mod files;
mod hostile;
mod models;
mod pull;
mod push;
mod server;
mod wheels;
