//! Writes the CRDs as YAML files into one folder and the reference of their fields into another.
//! `cargo xtask crds` runs it.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let mut folders = std::env::args_os().skip(1).map(PathBuf::from);
    let mut folder = || folders.next().ok_or("usage: manifests FOLDER REFERENCE");
    let (manifests, reference) = (folder()?, folder()?);
    for (name, yaml) in turnpike_crds::manifests()? {
        std::fs::write(manifests.join(name), yaml)?;
    }
    for (name, page) in turnpike_crds::reference::pages()? {
        std::fs::write(reference.join(name), page)?;
    }
    Ok(())
}
