//! The files of an image, in a folder that is removed when dropped.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{capture, run};

/// Which authorities are trusted: those of this machine.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
";
const GROUP: &str = "root:x:0:
nonroot:x:65532:
";
/// Names of hosts come from /etc/hosts first.
const NSSWITCH: &str = "hosts: files dns
";

pub(super) struct Root(PathBuf);

impl Root {
    /// Makes the folder, with what every program needs.
    pub(super) fn new(folder: PathBuf) -> Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(&folder).context("removing an image's old files")?;
        }
        std::fs::create_dir_all(&folder).context("making the folder of an image's files")?;
        let root = Self(folder);
        root.write("/etc/passwd", PASSWD)?;
        root.write("/etc/group", GROUP)?;
        root.write("/etc/nsswitch.conf", NSSWITCH)?;
        root.copy(Path::new(CERTIFICATES), CERTIFICATES, 0o644)
            .context("Debian's ca-certificates are needed")?;
        root.make_folder("/tmp", 0o1777)?;
        Ok(root)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// Takes a program without its symbols, and the shared libraries that it needs.
    pub(super) fn program(&self, file: &Path, place: &str) -> Result<()> {
        for library in libraries(&capture(Command::new("ldd").arg(file))?) {
            let place = library.to_str().context("a library's path")?;
            self.copy(&library, place, 0o755)?;
        }
        let target = self.prepare(place)?;
        run(Command::new("strip").arg("-o").arg(&target).arg(file))
            .context("strip, of Debian's binutils, is needed")?;
        set_mode(&target, 0o755)
    }

    fn copy(&self, file: &Path, place: &str, mode: u32) -> Result<()> {
        let target = self.prepare(place)?;
        std::fs::copy(file, &target).with_context(|| format!("copying {}", file.display()))?;
        set_mode(&target, mode)
    }

    fn write(&self, place: &str, text: &str) -> Result<()> {
        let target = self.prepare(place)?;
        std::fs::write(&target, text).with_context(|| format!("writing {place}"))?;
        set_mode(&target, 0o644)
    }

    /// Where a file goes; the folders above it are made.
    fn prepare(&self, place: &str) -> Result<PathBuf> {
        if let Some((folder, _)) = place.rsplit_once('/') {
            self.make_folder(folder, 0o755)?;
        }
        Ok(self.0.join(place.trim_start_matches('/')))
    }

    /// Makes a folder and those above it; the mode is the last one's.
    fn make_folder(&self, place: &str, mode: u32) -> Result<()> {
        let mut folder = self.0.clone();
        set_mode(&folder, 0o755)?;
        for name in place.split('/').filter(|name| !name.is_empty()) {
            folder.push(name);
            if !folder.exists() {
                std::fs::create_dir(&folder).context("making a folder of an image")?;
                set_mode(&folder, 0o755)?;
            }
        }
        set_mode(&folder, mode)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // What is left is removed by the next one.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of {}", path.display()))
}

/// The files that `ldd` names, the loader among them; none for a static program.
fn libraries(listed: &str) -> BTreeSet<PathBuf> {
    let file = |line: &str| {
        let line = line.trim();
        let place = line.split_once(" => ").map_or(line, |(_, place)| place);
        let place = place.split(" (").next()?;
        place.starts_with('/').then(|| PathBuf::from(place))
    };
    listed.lines().filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_their_loader_are_found() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libm.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(libraries(listed), expected.map(PathBuf::from).into());
        assert!(libraries("\tstatically linked\n").is_empty());
    }
}
