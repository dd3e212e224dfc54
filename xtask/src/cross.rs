//! `cargo xtask cross`: the C and C++ of another target, with that target's compiler but
//! without its Rust library, to prove that the plan compiles there.

use crate::compile::{Job, Roots};
use crate::isa::{self, Wishes};
use crate::plan::{self, Features};
use crate::target::Target;
use crate::{root, target_dir, upstream};

/// Compiles the default plan and feature `rpc` for `triple` into the target folder.
pub(crate) fn run(triple: &str) -> Result<(), String> {
    let parts: Vec<&str> = triple.split('-').collect();
    let [arch, _, os, env] = parts[..] else {
        return Err(format!("{triple} is not of the form ARCH-VENDOR-OS-ENV"));
    };
    let target = Target::new(triple, arch, os, env);
    let wishes = Wishes {
        over: None,
        rustflags: &[],
        target_features: &[],
        host_is_target: false,
    };
    let choice = isa::choose(&target, &wishes)?;
    let upstream = upstream()?;
    let plan = plan::plan(
        &target,
        Features {
            rpc: true,
            openmp: false,
        },
        &choice,
        &upstream.tree,
    );
    let out = target_dir();
    let roots = Roots {
        upstream: upstream.root,
        own: root(),
        out: out.join("cross").join(triple),
    };
    let job = Job {
        plan: &plan,
        target: &target,
        roots: &roots,
        host: Some(env!("HOST")),
    };
    job.compile("llamakit_native")?;
    println!(
        "{}: compiled for {}",
        roots.out.display(),
        job.probe_isa()?.join(" ")
    );
    Ok(())
}
