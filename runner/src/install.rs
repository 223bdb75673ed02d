//! How the runner comes into an image that does not have it: an init container of ours copies it.

use std::{fs, io, path::Path};

use protocol::pod;

/// OpenSSH and others want their user to have a name, and an image of the user's does not know it.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n\
                      runner:x:65532:65532:runner:/work/home:/bin/sh\n";

/// Puts this program and a `passwd` into a directory.
pub fn install(directory: impl AsRef<Path>) -> io::Result<()> {
    let directory = directory.as_ref();
    let program = directory.join(pod::PROGRAM);
    // With its mode, so that it can be executed there.
    fs::copy(std::env::current_exe()?, program)?;
    fs::write(directory.join(pod::PASSWD), PASSWD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_can_be_executed_where_it_is_put() {
        let folder = tempfile::tempdir().expect("a folder");
        install(folder.path()).expect("installed");
        let program = fs::metadata(folder.path().join(pod::PROGRAM)).expect("there");
        assert_ne!(std::os::unix::fs::PermissionsExt::mode(&program.permissions()) & 0o111, 0);
        assert!(fs::read_to_string(folder.path().join(pod::PASSWD)).expect("there").contains(":65532:"));
    }
}
