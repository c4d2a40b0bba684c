//! Generated text that is kept in `docs/`: compared in every run, written with `DRX_UPDATE=1`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Compares a whole file of `docs/` with what the code says now.
pub fn file(path: &str, generated: &str) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    compare(&docs(path), fs::read_to_string(docs(path)).unwrap_or_default(), generated);
}

/// The same for what stands between a document's markers for `name`.
pub fn part(path: &str, name: &str, generated: &str) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (begin, end) = (format!("<!-- generated: {name} -->\n"), format!("<!-- end: {name} -->"));
    let text = text(path);
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("docs/{path} lacks {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("docs/{path} lacks {end}"));
    let wanted = format!("{before}{begin}\n{generated}\n{end}{after}");
    compare(&docs(path), text, &wanted);
}

/// A document as it is.
pub fn text(path: &str) -> String {
    fs::read_to_string(docs(path)).unwrap_or_else(|error| panic!("docs/{path}: {error}"))
}

fn compare(path: &Path, kept: String, wanted: &str) {
    if kept == wanted {
        return;
    }
    if std::env::var_os("DRX_UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, wanted).unwrap();
        return;
    }
    let same = kept.lines().zip(wanted.lines()).take_while(|(kept, wanted)| kept == wanted).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(its end)").to_owned();
    panic!(
        "{} no longer says what the code does. If the change is meant, run\n    \
         DRX_UPDATE=1 cargo test -p drx-protocol --test matrix\nand look at the difference. \
         The first is in line {}:\n  kept: {}\n  now:  {}",
        path.display(),
        same + 1,
        line(&kept),
        line(wanted)
    );
}

fn docs(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(path)
}

/// The tests of one run write different parts of the same file.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
