//! What the steps need on the machine, and how to get it: one entry each.
//!
//! A need that is missing is installed; where that fails the step fails, with a sentence for a
//! person. Nothing is skipped because something is missing.

use crate::command;

/// A thing that must be on the machine before a step can run.
#[derive(Debug)]
pub(crate) struct Need {
    /// What it is called.
    pub(crate) name: &'static str,
    /// A command that exits with 0 when it is there.
    probe: &'static [&'static str],
    /// The commands that install it, in order.
    install: &'static [&'static [&'static str]],
    /// What a person can do where those commands fail.
    otherwise: &'static str,
}

/// Installs these packages of Debian's.
macro_rules! apt {
    ($($package:literal),+) => {
        &[
            &["apt-get", "update"],
            &["apt-get", "install", "-y", "--no-install-recommends", $($package),+],
        ]
    };
}

/// The formatter of the toolchain.
pub(crate) const RUSTFMT: Need = Need {
    name: "rustfmt",
    probe: &["cargo", "fmt", "--version"],
    install: &[&["rustup", "component", "add", "rustfmt"]],
    otherwise: "Install the toolchain's component `rustfmt`.",
};

/// The linter of the toolchain.
pub(crate) const CLIPPY: Need = Need {
    name: "clippy",
    probe: &["cargo", "clippy", "--version"],
    install: &[&["rustup", "component", "add", "clippy"]],
    otherwise: "Install the toolchain's component `clippy`.",
};

/// What lists the files of the tree.
pub(crate) const GIT: Need = Need {
    name: "git",
    probe: &["git", "rev-parse", "--is-inside-work-tree"],
    install: &[],
    otherwise: "The walls are checked in a clone, with `git` installed.",
};

/// What makes syncs fail, under a running process.
pub(crate) const STRACE: Need = Need {
    name: "strace",
    probe: &["strace", "--version"],
    install: apt!["strace"],
    otherwise: "Install Debian's package `strace`.",
};

/// What shows a process another time.
pub(crate) const FAKETIME: Need = Need {
    name: "faketime",
    probe: &["faketime", "--version"],
    install: apt!["faketime"],
    otherwise: "Install Debian's package `faketime`.",
};

/// What limits the files of a running process, and gives up root's rights.
pub(crate) const UTIL_LINUX: Need = Need {
    name: "util-linux",
    probe: &["setpriv", "--version"],
    install: apt!["util-linux"],
    otherwise: "Install Debian's package `util-linux`.",
};

/// What runs the pages' tests and checks their types.
pub(crate) const NODE: Need = Need {
    name: "node",
    // Older ones lack what the tests are run by.
    probe: &["node", "-e", "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)"],
    install: apt!["nodejs"],
    otherwise: "Install Node.js, version 20 or newer; some distributions have an older one.",
};

/// What fetches the packages that the pages' tests need.
pub(crate) const NPM: Need = Need {
    name: "npm",
    probe: &["npm", "--version"],
    install: apt!["npm"],
    otherwise: "Install npm, which comes with Node.js or as Debian's package `npm`.",
};

/// Those packages, in the versions of `package-lock.json`. None of them is shipped.
pub(crate) const PACKAGES: Need = Need {
    name: "the packages of crates/server/browser",
    probe: &["npm", "--prefix", "crates/server/browser", "ls"],
    install: &[&["npm", "--prefix", "crates/server/browser", "ci", "--ignore-scripts"]],
    otherwise: "`npm ci` in crates/server/browser needs npm's registry once.",
};

/// The browser that the pages are tested in.
pub(crate) const CHROMIUM: Need = Need {
    name: "chromium",
    probe: &["/usr/bin/chromium", "--version"],
    install: apt!["chromium"],
    otherwise: "Install Debian's package `chromium`, as /usr/bin/chromium.",
};

/// What the pages' Korean is drawn with: without it, all texts would be as wide as empty boxes are.
pub(crate) const KOREAN_FONT: Need = Need {
    name: "a Korean font",
    probe: &["sh", "-c", "fc-list :lang=ko | grep -q ."],
    install: apt!["fontconfig", "fonts-noto-cjk"],
    otherwise: "Install Debian's packages `fontconfig` and `fonts-noto-cjk`.",
};

/// What the tests keep journals in. Its programs are not on the path.
pub(crate) const POSTGRESQL: Need = Need {
    name: "postgresql",
    probe: &["sh", "-c", "ls /usr/lib/postgresql/*/bin/initdb"],
    install: apt!["postgresql"],
    otherwise: "Install Debian's package `postgresql`.",
};

/// What the tests make certificates with.
pub(crate) const OPENSSL: Need = Need {
    name: "openssl",
    probe: &["openssl", "version"],
    install: apt!["openssl"],
    otherwise: "Install Debian's package `openssl`.",
};

impl Need {
    /// Makes sure that it is there, installing it when it is not.
    pub(crate) fn meet(&self) -> Result<(), String> {
        if command::succeeds(self.probe) {
            return Ok(());
        }
        for words in self.install {
            println!("`{}` is missing; running `{}`", self.name, words.join(" "));
            command::run(words).map_err(|sentence| self.missing(&sentence))?;
        }
        if command::succeeds(self.probe) { Ok(()) } else { Err(self.missing("")) }
    }

    fn missing(&self, sentence: &str) -> String {
        let sentence = format!("`{}` is missing. {sentence} {}", self.name, self.otherwise);
        sentence.replace("  ", " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: &[&str] = &["cargo", "--version"];
    const ABSENT: &[&str] = &["no-such-program"];

    #[test]
    fn what_is_there_is_not_installed() {
        let need = Need { name: "it", probe: THERE, install: &[ABSENT], otherwise: "Sorry." };
        assert_eq!(need.meet(), Ok(()));
    }

    #[test]
    fn what_cannot_be_installed_fails_with_a_sentence_for_a_person() {
        let need = Need { name: "it", probe: ABSENT, install: &[], otherwise: "Fetch it." };
        assert_eq!(need.meet(), Err("`it` is missing. Fetch it.".to_owned()));

        let need = Need { name: "it", probe: ABSENT, install: &[ABSENT], otherwise: "Fetch it." };
        let sentence = need.meet().unwrap_err();
        assert!(sentence.starts_with("`it` is missing. `no-such-program` could not be run"));
        assert!(sentence.ends_with("Fetch it."));
    }

    #[test]
    fn what_is_still_absent_after_its_installation_fails() {
        let need = Need { name: "it", probe: ABSENT, install: &[THERE], otherwise: "Fetch it." };
        assert_eq!(need.meet(), Err("`it` is missing. Fetch it.".to_owned()));
    }
}
