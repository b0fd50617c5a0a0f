//! What one YAML document says, before it is written as JSON: nodes that know where they stood.
//!
//! Invariant: a node's weight and depth count its aliases as if they were written out, so that what would be too large
//! is known without being made.

use granit_parser::Marker;

/// How deep lists and mappings may nest, aliases written out; the host's own reader of documents has the same limit.
pub(crate) const DEPTH_MAX: usize = 64;
/// Bytes of one document as JSON, aliases written out; the host takes no larger one.
pub(crate) const JSON_BYTES_MAX: u64 = 16 << 20;

/// A place in the file; line and column count from 1, columns in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mark {
    pub line: u32,
    pub column: u32,
}

impl From<Marker> for Mark {
    fn from(marker: Marker) -> Self {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { line: count(marker.line().max(1)), column: count(marker.col().saturating_add(1)) }
    }
}

/// Index into `Tree`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NodeId(usize);

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) mark: Mark,
}

#[derive(Debug)]
pub(crate) enum Shape {
    /// As JSON text.
    Scalar(String),
    List(Vec<NodeId>),
    Mapping(Vec<(Key, NodeId)>),
    Alias(NodeId),
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) mark: Mark,
    /// Something is written at the mark that is this value and nothing else: a scalar, `[`, `{`, `*alias`. A mapping in
    /// block style begins where its first key does, and an empty value nowhere.
    pub(crate) stands_alone: bool,
    pub(crate) shape: Shape,
    pub(crate) weight: u64,
    pub(crate) depth: usize,
}

/// The nodes of one document; an alias and what it stands for are the same node.
#[derive(Default, Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    pub(crate) fn add(&mut self, mark: Mark, stands_alone: bool, shape: Shape) -> NodeId {
        let (weight, depth) = self.measure(&shape);
        self.nodes.push(Node { mark, stands_alone, shape, weight, depth });
        NodeId(self.nodes.len() - 1)
    }

    pub(crate) fn get(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    fn measure(&self, shape: &Shape) -> (u64, usize) {
        let below = |weight: u64, depth: usize, id: &NodeId| {
            let node = self.get(*id);
            (weight.saturating_add(node.weight).saturating_add(1), depth.max(node.depth + 1))
        };
        match shape {
            Shape::Scalar(text) => (text.len() as u64, 0),
            Shape::Alias(id) => (self.get(*id).weight, self.get(*id).depth),
            Shape::List(items) => items.iter().fold((2, 1), |(weight, depth), id| below(weight, depth, id)),
            Shape::Mapping(members) => members.iter().fold((2, 1), |(weight, depth), (key, id)| {
                let (weight, depth) = below(weight, depth, id);
                (weight.saturating_add(key.name.len() as u64 + 3), depth)
            }),
        }
    }
}
