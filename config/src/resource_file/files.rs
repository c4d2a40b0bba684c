//! The texts of resource files, in the order of reading: where a span is, and what is wrong there.

use crate::error::{Error, Place};
use crate::spots::{Spot, Spots, Text};

use super::tree::Span;

/// Every file that was read.
#[derive(Debug, Default)]
pub struct Files {
    texts: Vec<Text>,
}

impl Files {
    /// Adds a text; the answer is its number, for spans.
    pub(super) fn add(&mut self, name: &str, text: String) -> usize {
        self.texts.push(Text::new(name.to_owned(), text, self.texts.len()));
        self.texts.len() - 1
    }

    /// A file's text.
    pub(super) fn text(&self, file: usize) -> &str {
        self.texts.get(file).map_or("", |text| &text.text)
    }

    /// The names of the files, in the order of reading; a span's `file` counts in them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(|text| text.name.as_str())
    }

    /// A place for people.
    pub fn place(&self, span: Span) -> Place {
        self.spot(span, "", 0).place
    }

    /// What is wrong somewhere, as it is displayed: with its line and a mark.
    pub fn error(&self, fault: &Fault) -> Error {
        self.spot(fault.span, &fault.key, 0).error(&*fault.wrong, &*fault.right)
    }

    /// The spot where something stands. `before`: how many sources are read before the first of these files.
    pub(crate) fn spot(&self, span: Span, key: &str, before: usize) -> Spot {
        match self.texts.get(span.file) {
            Some(text) => text.spot(span.start, key).behind(before),
            None => Spot::outside(Place::Default, key, (before, 0)),
        }
    }

    /// Records faults beside those of other sources. `before`: as in [`Files::spot`].
    #[allow(dead_code)] // until the key `resources` is wired in
    pub(crate) fn report(&self, faults: &[Fault], before: usize, spots: &mut Spots) {
        for fault in faults {
            spots.report(&self.spot(fault.span, &fault.key, before), &*fault.wrong, &*fault.right);
        }
    }
}

/// One thing that is wrong with a resource file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// The statement, with those it stands in: `resource r0 > on node1 > proxy on node1`.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}
