//! A template up to its `{{ .Response }}`, and the names that a template uses.

use std::collections::BTreeSet;

use super::ast::{Branches, Command, Node, Pipe, Term, Tree, Word};

const RESPONSE: &str = "Response";

/// All fields and variables that are named, in lower case.
pub(super) fn names(tree: &Tree) -> Vec<String> {
    let mut names = BTreeSet::new();
    nodes_names(&tree.root, &mut names);
    for nodes in tree.defined.values() {
        nodes_names(nodes, &mut names);
    }
    names.into_iter().collect()
}

fn nodes_names(nodes: &[Node], names: &mut BTreeSet<String>) {
    for node in nodes {
        match node {
            Node::Text(_) | Node::Break | Node::Continue => {}
            Node::Action(pipe) => pipe_names(pipe, names),
            Node::If(branches) | Node::With(branches) => {
                for (pipe, nodes) in &branches.arms {
                    pipe_names(pipe, names);
                    nodes_names(nodes, names);
                }
                nodes_names(&branches.otherwise, names);
            }
            Node::Range {
                pipe,
                body,
                otherwise,
            } => {
                pipe_names(pipe, names);
                nodes_names(body, names);
                nodes_names(otherwise, names);
            }
            Node::Template { pipe, .. } => {
                if let Some(pipe) = pipe {
                    pipe_names(pipe, names);
                }
            }
        }
    }
}

fn pipe_names(pipe: &Pipe, names: &mut BTreeSet<String>) {
    let mut add = |name: &String| {
        names.insert(name.to_lowercase());
    };
    let words = pipe.commands.iter().flat_map(|command| &command.words);
    let mut nested = Vec::new();
    for word in words {
        match &word.term {
            Term::Fields(fields) => fields.iter().for_each(&mut add),
            Term::Variable(name, fields) => {
                add(name);
                fields.iter().for_each(&mut add);
            }
            Term::Pipe(pipe) => nested.push(pipe),
            _ => {}
        }
    }
    for pipe in nested {
        pipe_names(pipe, names);
    }
}

/// The nodes up to the first that writes the response, that one included: what follows is the model's
/// to write.
pub(super) fn before_response(nodes: &[Node]) -> Vec<Node> {
    cut_nodes(nodes, &mut false)
}

fn cut_nodes(nodes: &[Node], cut: &mut bool) -> Vec<Node> {
    nodes
        .iter()
        .map_while(|node| (!*cut).then(|| cut_node(node, cut)))
        .flatten()
        .collect()
}

fn cut_node(node: &Node, cut: &mut bool) -> Option<Node> {
    Some(match node {
        Node::Action(pipe) => Node::Action(cut_pipe(pipe, cut)?),
        Node::If(branches) => Node::If(cut_branches(branches, cut)),
        Node::With(branches) => Node::With(cut_branches(branches, cut)),
        Node::Range {
            pipe,
            body,
            otherwise,
        } => Node::Range {
            pipe: pipe.clone(),
            body: cut_nodes(body, cut),
            otherwise: cut_nodes(otherwise, cut),
        },
        node => node.clone(),
    })
}

fn cut_branches(branches: &Branches, cut: &mut bool) -> Branches {
    let arms = branches.arms.iter();
    Branches {
        arms: arms
            .map(|(pipe, nodes)| (pipe.clone(), cut_nodes(nodes, cut)))
            .collect(),
        otherwise: cut_nodes(&branches.otherwise, cut),
    }
}

fn cut_pipe(pipe: &Pipe, cut: &mut bool) -> Option<Pipe> {
    let mut kept = Pipe {
        commands: Vec::new(),
        ..pipe.clone()
    };
    for command in &pipe.commands {
        let mut command = command.clone();
        command.words.retain_mut(|word| {
            if *cut {
                return false;
            }
            match &mut word.term {
                Term::Fields(fields) => *cut = fields.iter().any(|field| field == RESPONSE),
                Term::Pipe(pipe) => match cut_pipe(pipe, cut) {
                    Some(kept) => **pipe = kept,
                    None => return false,
                },
                _ => {}
            }
            true
        });
        if command.words.is_empty() {
            return None;
        }
        kept.commands.push(command);
    }
    Some(kept)
}

/// `{{ .Response }}`, for templates that say nowhere where it goes.
pub(super) fn response() -> Node {
    Node::Action(Pipe {
        commands: vec![Command {
            words: vec![Word {
                at: 0,
                term: Term::Fields(vec![RESPONSE.to_owned()]),
            }],
        }],
        ..Pipe::default()
    })
}
