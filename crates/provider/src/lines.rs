//! On which line each field of a document stands. Computed only for documents that there is something to say about.

use granit_parser::{Event, Parser};
use weir_resolve::quoted_key;

/// The lines of a document's fields.
#[derive(Debug)]
pub(crate) struct Lines {
    root: Node,
}

#[derive(Debug)]
struct Node {
    line: usize,
    children: Children,
}

#[derive(Debug)]
enum Children {
    None,
    Fields(Vec<(String, Node)>),
    Items(Vec<Node>),
}

impl Lines {
    /// Reads the lines of a document. Of text that is no YAML, those before the error.
    pub(crate) fn of(document: &str) -> Self {
        let mut builder = Builder {
            open: Vec::new(),
            root: None,
        };
        for event in Parser::new_from_str(document) {
            let Ok((event, span)) = event else { break };
            builder.event(event, span.start.line());
        }
        while !builder.open.is_empty() {
            builder.close();
        }
        Self {
            root: builder.root.unwrap_or(Node {
                line: 1,
                children: Children::None,
            }),
        }
    }

    /// The line, from 1, of the field at `path`, such as `spec.rules[0].port`, or of the nearest one around it that is
    /// written.
    pub(crate) fn find(&self, path: &str) -> usize {
        let (mut node, mut rest) = (&self.root, path);
        loop {
            let step = match &node.children {
                Children::None => None,
                Children::Fields(fields) => rest_after_field(fields, rest),
                Children::Items(items) => rest_after_item(items, rest),
            };
            match step {
                None => return node.line,
                Some((child, after)) => (node, rest) = (child, after),
            }
        }
    }
}

/// The field that a path begins with. Names may contain dots: the longest that fits is meant.
fn rest_after_field<'n, 'p>(
    fields: &'n [(String, Node)],
    path: &'p str,
) -> Option<(&'n Node, &'p str)> {
    if let Some((quoted, rest)) = quoted_key(path) {
        let (_, node) = fields.iter().find(|(name, _)| *name == quoted)?;
        return Some((node, rest));
    }
    let path = path.strip_prefix('.').unwrap_or(path);
    fields
        .iter()
        .filter_map(|(name, node)| Some((name.len(), node, path.strip_prefix(name.as_str())?)))
        .filter(|(_, _, rest)| rest.is_empty() || rest.starts_with(['.', '[']))
        .max_by_key(|(length, ..)| *length)
        .map(|(_, node, rest)| (node, rest))
}

/// The item that a path begins with.
fn rest_after_item<'n, 'p>(items: &'n [Node], path: &'p str) -> Option<(&'n Node, &'p str)> {
    let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((items.get(index.parse::<usize>().ok()?)?, rest))
}

/// Builds the tree from the events of the parser.
struct Builder {
    /// The collections around the place that is read, the outermost first.
    open: Vec<Open>,
    root: Option<Node>,
}

/// A collection that is not complete.
struct Open {
    line: usize,
    /// Of a mapping: the key whose value comes next.
    key: Option<(String, usize)>,
    /// Of a mapping: whether a key comes next. A key that is no text has a value all the same.
    key_next: bool,
    children: Children,
}

impl Builder {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other events carry no fields, and the enum is another crate's"
    )]
    fn event(&mut self, event: Event<'_>, line: usize) {
        match event {
            Event::MappingStart(..) => self.open(line, Children::Fields(Vec::new()), true),
            Event::SequenceStart(..) => self.open(line, Children::Items(Vec::new()), false),
            Event::MappingEnd | Event::SequenceEnd => self.close(),
            Event::Scalar(text, ..) => self.leaf(&text, line),
            Event::Alias(_) => self.leaf("", line),
            _ => {}
        }
    }

    fn open(&mut self, line: usize, children: Children, key_next: bool) {
        self.open.push(Open {
            line,
            key: None,
            key_next,
            children,
        });
    }

    fn close(&mut self) {
        if let Some(Open { line, children, .. }) = self.open.pop() {
            self.add(Node { line, children });
        }
    }

    fn leaf(&mut self, text: &str, line: usize) {
        match self.open.last_mut() {
            Some(open) if open.key_next => {
                open.key = Some((text.to_owned(), line));
                open.key_next = false;
            }
            _ => self.add(Node {
                line,
                children: Children::None,
            }),
        }
    }

    /// Adds a complete node to the collection around it.
    fn add(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        match &mut open.children {
            Children::Items(items) => items.push(node),
            // The whole of a collection that is a key.
            Children::Fields(_) if open.key_next => open.key_next = false,
            Children::Fields(fields) => {
                open.key_next = true;
                if let Some((name, line)) = open.key.take() {
                    // A field stands where its name stands.
                    fields.push((
                        name,
                        Node {
                            line,
                            children: node.children,
                        },
                    ));
                }
            }
            Children::None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_on_their_lines() {
        let document = "\
# a comment
kind: HTTPRoute
metadata:
  name: route
  annotations:
    weir.dev/a: x
    weir.dev/a.b: y
spec:
  rules:
  - matches: []
    backendRefs:
    - name: one
      port: 80
    -
      name: two
  - {name: third, timeouts: {request: 1s}}
  parentRefs: [{name: a},
    {name: b}]
  alias: &x
    inner: 1
  same: *x
";
        let cases = [
            ("", 2),
            ("kind", 2),
            ("metadata.name", 4),
            ("metadata.annotations.weir.dev/a", 6),
            ("metadata.annotations.weir.dev/a.b", 7),
            ("metadata.annotations.weir.dev/c", 5),
            ("metadata.annotations[\"weir.dev/a.b\"]", 7),
            ("metadata.annotations[\"weir.dev/a.b\"].x", 7),
            ("metadata.annotations[\"weir\"]", 5),
            ("spec", 8),
            ("spec.rules[0].backendRefs[0]", 12),
            ("spec.rules[0].backendRefs[0].port", 13),
            ("spec.rules[0].backendRefs[1].name", 15),
            ("spec.rules[0].backendRefs[1].port", 15),
            ("spec.rules[0].backendRefs[7].port", 11),
            ("spec.rules[0].matches[0].path", 10),
            ("spec.rules[1].timeouts.request", 16),
            ("spec.rules[2]", 9),
            ("spec.parentRefs[1].name", 18),
            ("spec.same.inner", 21),
            ("spec.absent.deeper[3]", 8),
            ("nothing", 2),
        ];
        let lines = Lines::of(document);
        for (path, line) in cases {
            assert_eq!(lines.find(path), line, "{path}");
        }
    }

    #[test]
    fn broken_text_has_the_lines_before_the_error() {
        let lines = Lines::of("a: 1\nb:\n  c: 2\n  d: [\n");
        assert_eq!(
            (lines.find("a"), lines.find("b.c"), lines.find("b.x")),
            (1, 3, 2)
        );
        assert_eq!(Lines::of("").find("a.b"), 1);
    }
}
