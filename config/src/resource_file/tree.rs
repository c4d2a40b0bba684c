//! What a resource file is made of.

/// Where something stands: a file, by its number in the order of reading, and bytes of its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Which file.
    pub file: usize,
    /// The offset of its first byte.
    pub start: usize,
    /// The offset behind its last byte.
    pub end: usize,
}

/// A word, or what stood between quotes.
#[derive(Clone, Debug, Eq)]
pub struct Word {
    /// Without quotes; an address and its port are one word, such as `10.77.1.2:7789` or `[::1]:7789`.
    pub text: String,
    /// Whether it stood between quotes: then it is no keyword.
    pub quoted: bool,
    /// Where.
    pub span: Span,
}

/// What it says is the same, wherever it stands.
impl PartialEq for Word {
    fn eq(&self, other: &Word) -> bool {
        (&self.text, self.quoted) == (&other.text, other.quoted)
    }
}

/// `device minor 1;`, or `on node1 { … }`, or `host node1 via proxy on node1 { … };`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// At least one; the first is the keyword.
    pub words: Vec<Word>,
    /// What stands in its braces; none: it has no braces.
    pub body: Option<Vec<Statement>>,
}

impl Statement {
    /// Its keyword.
    pub fn keyword(&self) -> &str {
        self.words.first().map_or("", |word| &word.text)
    }

    /// The words behind the keyword.
    pub fn arguments(&self) -> &[Word] {
        self.words.get(1..).unwrap_or_default()
    }

    /// Where it begins.
    pub fn span(&self) -> Span {
        self.words.first().map_or(Span::default(), |word| word.span)
    }

    /// What stands in its braces, if it has any.
    pub fn statements(&self) -> &[Statement] {
        self.body.as_deref().unwrap_or_default()
    }
}
