//! Writing files that only we may read.

use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use crate::failure::Stop;

/// Writes a file with mode 0600, replacing what was there.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), Stop> {
    write(path, content, 0o600)
}

/// Writes a file that everybody in the pod may read.
pub fn write_public(path: &Path, content: &[u8]) -> Result<(), Stop> {
    write(path, content, 0o644)
}

/// Lets its owner execute a file.
pub fn make_executable(path: &Path) -> Result<(), Stop> {
    let mode = fs::metadata(path).map_err(|error| Stop::io("read", path, &error))?.permissions().mode();
    fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o100 | (mode & 0o044) >> 2))
        .map_err(|error| Stop::io("make executable", path, &error))
}

/// Makes a directory and its parents, with mode 0700.
pub fn make_private_dir(path: &Path) -> Result<(), Stop> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Stop::io("make the directory", path, &error))
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Stop> {
    let wrong = |error| Stop::io("write", path, &error);
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(wrong(error)),
        _ => {}
    }
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(wrong)?;
    file.write_all(content).map_err(wrong)
}
