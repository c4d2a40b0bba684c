//! What is wrong, gathered.

use std::collections::HashSet;

use crate::error::Place;

use super::super::files::{Fault, Files};
use super::super::tree::Span;

/// Faults, and what is needed to tell good ones from those that only follow from another.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    files: &'a Files,
    /// Files with errors in their grammar: what seems to be missing there may have been passed over.
    broken: HashSet<usize>,
    /// Statements with errors in their grammar: what they say cannot be told.
    garbled: HashSet<(usize, &'a str)>,
    /// Number of an interface of this machine.
    pub(super) interface: fn(&str) -> Option<u32>,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(
        files: &'a Files,
        known: &'a [Fault],
        interface: fn(&str) -> Option<u32>,
    ) -> Findings<'a> {
        let broken = known.iter().map(|fault| fault.span.file).collect();
        let garbled = known.iter().map(|fault| (fault.span.file, fault.key.as_str())).collect();
        Findings { files, broken, garbled, interface, faults: Vec::new() }
    }

    /// Something that stands there is wrong.
    pub(super) fn wrong(&mut self, fault: Fault) {
        if !self.garbled.contains(&(fault.span.file, &fault.key)) {
            self.push(fault);
        }
    }

    /// Something is not there, or not in its place.
    pub(super) fn gap(&mut self, fault: Fault) {
        if !self.broken.contains(&fault.span.file) {
            self.push(fault);
        }
    }

    fn push(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    /// A place for people.
    pub(super) fn place(&self, span: Span) -> Place {
        self.files.place(span)
    }
}

/// Nobody reads more, and each shows a line, which may be long.
const MAX_FAULTS: usize = 1000;
