use llamakit::{Batch, Context};

/// What every function that runs two things at once asks for.
fn join(_: impl FnOnce() + Send, _: impl FnOnce() + Send) {}

fn at_once(context: &mut Context, batch: &Batch) {
    join(
        || drop(context.decode(batch)),
        || drop(context.decode(batch)),
    );
}

fn main() {}
