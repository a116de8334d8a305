//! The cache of machine code on disk: one folder per class, below one folder per build and kind of processor.
//!
//! A class's folder is complete when it appears, by a rename. It is checked when it is read, and made again when it is damaged. The
//! code runs in this process, so no other user may write to the cache.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cairo_native::executor::AotContractExecutor;
use sha2::{Digest, Sha256};
use starknet_api::core::ClassHash;

use super::runtime;

/// Names of files in a class's folder. Cairo Native looks for the second beside the first, with this ending.
pub const CODE: &str = "class.so";
const ENTRIES: &str = "class.json";
const SUM: &str = "sum";

/// The age from which an unfinished folder was left by a process that has ended.
const STALE: Duration = Duration::from_secs(3600);

/// The cache.
pub struct Cache {
    root: PathBuf,
    /// Bytes that it may take.
    most: u64,
}

impl Cache {
    /// Opens the cache, and removes unfinished folders.
    pub fn open(folder: &Path, most: u64) -> Result<Self, String> {
        let named = |error: io::Error| format!("{}: {error}", folder.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(named)?;
        let about = fs::metadata(folder).map_err(named)?;
        // SAFETY: geteuid has no preconditions and cannot fail.
        if about.uid() != unsafe { libc::geteuid() } || about.mode() & 0o022 != 0 {
            return Err(format!(
                "{}: others can write to it, and what is there is run: chmod 700, or choose another folder",
                folder.display()
            ));
        }
        let root = folder.join(fingerprint());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).map_err(named)?;
        let cache = Self { root, most };
        cache.sweep();
        Ok(cache)
    }

    fn folder(&self, class: ClassHash) -> PathBuf {
        self.root.join(format!("{:064x}", class.0))
    }

    /// Loads the machine code of a class. A damaged folder is removed.
    pub fn load(&self, class: ClassHash) -> Result<Option<AotContractExecutor>, String> {
        let folder = self.folder(class);
        if !folder.exists() {
            return Ok(None);
        }
        let loaded = check(&folder).and_then(|()| {
            let class = AotContractExecutor::from_path(folder.join(CODE))
                .map_err(|error| error.to_string())?
                .ok_or_else(|| "is locked".to_string())?;
            runtime::guard(&class)?;
            Ok(class)
        });
        match loaded {
            Ok(executor) => {
                // The time of the file is that of the last use, for `trim`.
                let _ = fs::File::open(folder.join(SUM)).and_then(|file| file.set_modified(SystemTime::now()));
                Ok(Some(executor))
            }
            Err(cause) => {
                let _ = fs::remove_dir_all(&folder);
                Err(cause)
            }
        }
    }

    /// Makes a folder to write the code in.
    pub fn scratch(&self, class: ClassHash) -> io::Result<PathBuf> {
        // The same class may be in work elsewhere, also in this process.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let folder = self.root.join(format!(".{:064x}.{}.{now}", class.0, std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(folder)
    }

    /// Moves the finished folder `scratch` into the cache.
    pub fn keep(&self, class: ClassHash, scratch: &Path) -> io::Result<()> {
        let folder = self.folder(class);
        if let Err(error) = fs::rename(scratch, &folder) {
            // There is a folder of another process: a good one, or a damaged one.
            if !folder.exists() {
                return Err(error);
            }
            if check(&folder).is_ok() {
                return fs::remove_dir_all(scratch);
            }
            fs::remove_dir_all(&folder)?;
            fs::rename(scratch, &folder)?;
        }
        self.trim(&folder);
        Ok(())
    }

    /// Removes the classes that were not used for longest, until the others fit. Loaded code runs on without its file.
    fn trim(&self, newest: &Path) {
        let Some(top) = self.root.parent() else { return };
        let mut kept: Vec<(SystemTime, u64, PathBuf)> = folders(top)
            .flat_map(|root| folders(&root))
            .filter_map(|folder| {
                let used = fs::metadata(folder.join(SUM)).and_then(|about| about.modified()).ok()?;
                let size = fs::metadata(folder.join(CODE)).map_or(0, |about| about.len());
                Some((used, size, folder))
            })
            .collect();
        kept.sort();
        let mut total: u64 = kept.iter().map(|(_, size, _)| size).sum();
        for (_, size, folder) in kept {
            if total <= self.most {
                return;
            }
            if folder != newest {
                let _ = fs::remove_dir_all(&folder);
                total -= size;
            }
        }
    }

    /// Removes unfinished folders of processes that have ended.
    fn sweep(&self) {
        for folder in folders(&self.root) {
            let hidden = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let old = fs::metadata(&folder).and_then(|about| about.modified()).ok();
            if hidden && old.is_some_and(|old| old.elapsed().is_ok_and(|age| age > STALE)) {
                let _ = fs::remove_dir_all(&folder);
            }
        }
    }
}

fn folders(of: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(of)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
}

/// The checksum of the files of a class.
fn sum(folder: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    for name in [CODE, ENTRIES] {
        let bytes = fs::read(folder.join(name))?;
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(&bytes);
    }
    Ok(format!("{:x}", hasher.finalize()))
}

/// Writes the checksum of a folder, which is the last file in it.
pub fn write_sum(folder: &Path) -> io::Result<()> {
    fs::write(folder.join(SUM), sum(folder)?)
}

fn check(folder: &Path) -> Result<(), String> {
    let expected = fs::read_to_string(folder.join(SUM)).map_err(|error| error.to_string())?;
    match sum(folder) {
        Ok(found) if found == expected => Ok(()),
        Ok(_) => Err("its checksum does not match".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// The name of the folder for this build of the compiler and its run-time part, and this kind of processor: code of another one
/// must not run.
fn fingerprint() -> String {
    let mut hasher = Sha256::new();
    hasher.update(env!("ORDO_NATIVE_BUILD"));
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    for line in processor.lines().take_while(|line| !line.is_empty()) {
        if ["model name", "flags", "Features", "CPU part"].iter().any(|field| line.starts_with(field)) {
            hasher.update(line);
        }
    }
    let digest = hasher.finalize();
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
