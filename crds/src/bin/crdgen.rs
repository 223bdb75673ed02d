//! Writes what is generated from the types: `crds/*.yaml`, `docs/reasons.md` and `docs/events.md`.

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let crds = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, crd) in crds::manifest::all() {
        fs::write(crds.join(file), crds::manifest::yaml(&crd)?)?;
    }
    let docs = crds.join("../docs");
    fs::create_dir_all(&docs)?;
    fs::write(docs.join("reasons.md"), crds::reasons::markdown())?;
    fs::write(docs.join("events.md"), crds::events::markdown())?;
    Ok(())
}
