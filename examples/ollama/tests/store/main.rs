//! The store, `show` and the commands that work on them, through what users and files can do to them.

mod cli;
mod doctor;
mod fixture;
mod hostile;
mod layout;
mod prune;
mod show;
