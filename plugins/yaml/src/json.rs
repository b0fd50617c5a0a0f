//! Writes a tree as JSON text, and says where each part of it came from.
//!
//! Invariant: called only for a tree that was measured, so that neither the text nor the recursion is without bound.

use crate::scalar::quoted;
use crate::tree::{Mark, NodeId, Shape, Tree};

/// Values of one document whose places are told. Of a larger one those nearest to its top are, and the host takes the
/// nearest above for what lies deeper.
const VALUES_PLACED_MAX: usize = 100_000;

/// One document of a file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Document {
    /// JSON text of an object.
    pub body: String,
    /// In the order of the text. Twice with one pointer: first the key, then the value.
    pub origins: Vec<Origin>,
}

/// Where a part of a document stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// JSON pointer (RFC 6901).
    pub pointer: String,
    pub mark: Mark,
}

pub(crate) fn write(tree: &Tree, root: NodeId) -> Document {
    let mut counts = Vec::new();
    count(tree, root, 0, &mut counts);
    let mut writer = Writer {
        tree,
        document: Document::default(),
        pointer: String::new(),
        depth: 0,
        deepest: deepest(&counts),
        copies: 0,
    };
    writer.origin(tree.get(root).mark);
    writer.value(root);
    writer.document
}

/// Counts the values at each depth, copies by aliases left out.
fn count(tree: &Tree, id: NodeId, depth: usize, counts: &mut Vec<usize>) {
    if counts.len() == depth {
        counts.push(0);
    }
    counts[depth] += 1;
    match &tree.get(id).shape {
        Shape::Scalar(_) | Shape::Alias(_) => {}
        Shape::List(items) => items.iter().for_each(|item| count(tree, *item, depth + 1, counts)),
        Shape::Mapping(members) => members.iter().for_each(|(_, member)| count(tree, *member, depth + 1, counts)),
    }
}

/// The depth down to which places are told.
fn deepest(counts: &[usize]) -> usize {
    let mut values = 0;
    let fits = counts.iter().take_while(|count| {
        values += **count;
        values <= VALUES_PLACED_MAX
    });
    fits.count().saturating_sub(1)
}

struct Writer<'a> {
    tree: &'a Tree,
    document: Document,
    pointer: String,
    depth: usize,
    deepest: usize,
    /// Of how many aliases this is inside.
    copies: usize,
}

impl Writer<'_> {
    fn origin(&mut self, mark: Mark) {
        // What lies in a copy has its place at the alias: there it was written a second time.
        if self.depth <= self.deepest && self.copies == 0 {
            self.document.origins.push(Origin { pointer: self.pointer.clone(), mark });
        }
    }

    fn text(&mut self, text: &str) {
        self.document.body.push_str(text);
    }

    fn value(&mut self, id: NodeId) {
        match &self.tree.get(id).shape {
            Shape::Scalar(json) => self.text(json),
            Shape::Alias(target) => {
                self.copies += 1;
                self.value(*target);
                self.copies -= 1;
            }
            Shape::List(items) => {
                self.text("[");
                for (index, item) in items.iter().enumerate() {
                    self.separate(index);
                    self.below(&index.to_string(), |this| {
                        this.origin(this.tree.get(*item).mark);
                        this.value(*item);
                    });
                }
                self.text("]");
            }
            Shape::Mapping(members) => {
                self.text("{");
                for (index, (key, member)) in members.iter().enumerate() {
                    self.separate(index);
                    self.text(&quoted(&key.name));
                    self.text(":");
                    self.below(&key.name.replace('~', "~0").replace('/', "~1"), |this| {
                        let node = this.tree.get(*member);
                        this.origin(key.mark);
                        if node.stands_alone {
                            this.origin(node.mark);
                        }
                        this.value(*member);
                    });
                }
                self.text("}");
            }
        }
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.text(",");
        }
    }

    fn below(&mut self, step: &str, write: impl FnOnce(&mut Self)) {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(step);
        self.depth += 1;
        write(self);
        self.depth -= 1;
        self.pointer.truncate(length);
    }
}
