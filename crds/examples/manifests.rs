//! Writes the CRDs as YAML files into the folder that the only argument names.
//! `cargo xtask crds` runs it.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or("usage: manifests FOLDER")?;
    for (name, yaml) in turnpike_crds::manifests()? {
        std::fs::write(folder.join(name), yaml)?;
    }
    Ok(())
}
