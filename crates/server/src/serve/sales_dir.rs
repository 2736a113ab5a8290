//! `--sales`: sales that an organiser keeps as files, one sale a file.
//!
//! The files are read at the start and at every SIGHUP. A file is applied once: its hash is
//! journalled with what it changed, so that an old file never undoes at a restart what an operator
//! did since. A file that is wrong is told of in the log and does not keep the others, nor the box
//! office, from going on: after a crash at night it must open again for the sales that are sound.
//!
//! Not here: what a file says (`sale_file`), and what of a sale may change (`domain`).

use std::io;
use std::path::{Path, PathBuf};

use domain::catalogue::SALES_MAX;
use domain::command::Schedule;
use domain::id::{FileHash, SaleId};
use domain::{Refusal, Sale};
use engine::{Engine, Failure, NewSale, Warrant};

use crate::config::Stop;
use crate::http::{Problem, change_problem};
use crate::ids::Ids;
use crate::language::Language;
use crate::sale_file::{Fault, SaleFileId, read_file};

/// Files of a directory, at most; more are not looked at.
const FILES_MAX: usize = SALES_MAX;

/// A directory of sales' files.
#[derive(Clone, Debug)]
pub(super) struct SalesDir(PathBuf);

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Applied {
    /// A new sale is scheduled.
    Scheduled,
    /// A sale is changed, or the file is noted to say what it is.
    Changed,
    /// It was applied before.
    Before,
}

/// Why a file is not applied.
#[derive(Debug)]
enum NotApplied {
    Name,
    Unreadable(io::Error),
    Fault(Fault),
    Refused(Problem),
    Failed(Failure),
}

impl SalesDir {
    /// A directory that is there.
    pub(super) fn open(dir: &Path) -> Result<Self, Stop> {
        match std::fs::read_dir(dir) {
            Ok(_) => Ok(Self(dir.to_owned())),
            Err(error) => Err(Stop::wrong(format!(
                "--sales names a directory; {} cannot be read: {error}.",
                dir.display()
            ))),
        }
    }

    /// Applies every file that was not applied before.
    pub(super) async fn apply(&self, engine: &Engine) {
        let files = match self.files() {
            Ok(files) => files,
            Err(error) => {
                tracing::error!(dir = %self.0.display(), %error, "the sales' files cannot be listed");
                return;
            }
        };
        for file in files {
            let name = file.display();
            match apply(&file, engine).await {
                Ok(Applied::Scheduled) => tracing::info!(file = %name, "the sale is scheduled"),
                Ok(Applied::Changed) => tracing::info!(file = %name, "the sale is changed"),
                Ok(Applied::Before) => tracing::debug!(file = %name, "applied before"),
                Err(NotApplied::Name) => tracing::error!(
                    file = %name,
                    "not applied: a sale's file is named after the sale, 1 to 64 of a-z, 0-9 and -"
                ),
                Err(NotApplied::Unreadable(error)) => {
                    tracing::error!(file = %name, "not applied: it cannot be read: {error}");
                }
                Err(NotApplied::Fault(fault)) => {
                    let (line, column) =
                        fault.place.map(|place| (place.line, place.column)).unzip();
                    tracing::error!(file = %name, line, column, "not applied: {}", fault.what);
                }
                Err(NotApplied::Refused(problem)) => {
                    let why = problem.sentence(Language::En);
                    tracing::error!(file = %name, code = problem.code(), "not applied: {why}");
                }
                Err(NotApplied::Failed(failure)) => {
                    tracing::error!(file = %name, "not applied, try again: {failure}");
                }
            }
        }
    }

    /// The files in the order of their names, so that every start reads them alike.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            let path = entry?.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
            if path.extension().is_some_and(|extension| extension == "toml") && !hidden {
                files.push(path);
            }
        }
        files.sort();
        if files.len() > FILES_MAX {
            let ignored = files.len() - FILES_MAX;
            tracing::error!(ignored, "there are more than {FILES_MAX} files; the last are ignored");
            files.truncate(FILES_MAX);
        }
        Ok(files)
    }
}

async fn apply(file: &Path, engine: &Engine) -> Result<Applied, NotApplied> {
    let id = SaleFileId::of(file).ok_or(NotApplied::Name)?;
    let known = engine.directory().sale(id.as_str()).cloned();
    let known = known.map(|sale| sale.publication().sale.clone());
    let (path, before) = (file.to_owned(), known.clone());
    // A plan of two million seats takes its time to be laid out.
    let read = tokio::task::spawn_blocking(move || read(&path, id, before.as_ref())).await;
    let Some(new) = read.expect("reading a file does not panic")? else {
        return Ok(Applied::Before);
    };
    let (request, word) = (Ids.request_id(), warrant(file));
    let (outcome, applied) = match &known {
        Some(_) => (engine.change_sale(new, request, word).await, Applied::Changed),
        None => (engine.add_sale(new, request, word).await, Applied::Scheduled),
    };
    let refused = |refusal: Refusal| {
        let hall = known.as_ref().and_then(|sale| sale.hall());
        NotApplied::Refused(change_problem(refusal, hall.map(|hall| &**hall)))
    };
    outcome.map_err(NotApplied::Failed)?.map_err(refused)?;
    Ok(applied)
}

/// A file's own word for what it changes: its name, where there is one that fits.
fn warrant(file: &Path) -> Option<Box<Warrant>> {
    let name = file.file_name()?.to_str().filter(|name| name.len() <= Warrant::BECAUSE_MAX)?;
    Some(Box::new(Warrant { by: "--sales".into(), because: Some(name.into()) }))
}

/// What a file says; none when it was applied before.
fn read(file: &Path, id: SaleId, known: Option<&Sale>) -> Result<Option<NewSale>, NotApplied> {
    let bytes = read_file(file).map_err(NotApplied::Unreadable)?;
    let hash = FileHash(bytes.hash());
    if known.is_some_and(|sale| sale.files().contains(&hash)) {
        return Ok(None);
    }
    let NewSale { schedule, default } = bytes.sale(id).map_err(NotApplied::Fault)?;
    Ok(Some(NewSale { schedule: Schedule { file: Some(hash), ..schedule }, default }))
}
