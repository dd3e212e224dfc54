//! What the build needs to know about a target, as plain data.

/// Instruction-set family of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Aarch64,
    Riscv64,
    Powerpc64,
    S390x,
    Loongarch64,
    Wasm32,
    Other,
}

/// Operating system of the target.
#[allow(clippy::enum_variant_names, reason = "macOS is called so")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    Linux,
    Android,
    MacOs,
    /// iOS, tvOS, visionOS, watchOS.
    AppleMobile,
    Windows,
    FreeBsd,
    NetBsd,
    OpenBsd,
    Other,
}

/// C library or ABI variant of the target, where it changes the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Env {
    Msvc,
    Musl,
    Other,
}

/// A compile target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub triple: String,
    pub arch: Arch,
    pub os: Os,
    pub env: Env,
}

impl Target {
    /// From cargo's `TARGET`, `CARGO_CFG_TARGET_ARCH`, `_OS` and `_ENV`.
    pub fn new(triple: &str, arch: &str, os: &str, env: &str) -> Self {
        let arch = match arch {
            "x86_64" => Arch::X86_64,
            "aarch64" | "arm64ec" => Arch::Aarch64,
            "riscv64" => Arch::Riscv64,
            "powerpc64" => Arch::Powerpc64,
            "s390x" => Arch::S390x,
            "loongarch64" => Arch::Loongarch64,
            "wasm32" => Arch::Wasm32,
            _ => Arch::Other,
        };
        let os = match os {
            "linux" => Os::Linux,
            "android" => Os::Android,
            "macos" => Os::MacOs,
            "ios" | "tvos" | "visionos" | "watchos" => Os::AppleMobile,
            "windows" => Os::Windows,
            "freebsd" => Os::FreeBsd,
            "netbsd" => Os::NetBsd,
            "openbsd" => Os::OpenBsd,
            _ => Os::Other,
        };
        let env = match env {
            "msvc" => Env::Msvc,
            "musl" => Env::Musl,
            _ => Env::Other,
        };
        Target {
            triple: triple.to_owned(),
            arch,
            os,
            env,
        }
    }

    pub fn is_apple(&self) -> bool {
        matches!(self.os, Os::MacOs | Os::AppleMobile)
    }

    pub fn is_msvc(&self) -> bool {
        self.env == Env::Msvc
    }
}
