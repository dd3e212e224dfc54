//! The layers of a model that is being made.

use crate::progress::{Progress, Report};
use crate::store::manifest::media;
use crate::store::{Layer, Manifest};

/// A layer, and what is said of it at the end.
pub(super) struct Made {
    pub(super) layer: Layer,
    status: String,
    /// Whether it came from a file of the request, or was made of one.
    pub(super) new: bool,
}

impl Made {
    /// A layer of another model.
    pub(super) fn existing(layer: Layer) -> Self {
        Self {
            status: format!("using existing layer {}", layer.digest),
            layer,
            new: false,
        }
    }

    /// A blob that the caller stored before.
    pub(super) fn of_file(layer: Layer) -> Self {
        Self {
            new: true,
            ..Self::existing(layer)
        }
    }

    /// A blob that was made for this model.
    pub(super) fn created(layer: Layer) -> Self {
        Self {
            status: format!("creating new layer {}", layer.digest),
            layer,
            new: true,
        }
    }

    /// With something else that is said of it.
    pub(super) fn saying(self, status: String) -> Self {
        Self { status, ..self }
    }
}

/// Layers in the order in which the manifest will have them.
#[derive(Default)]
pub(super) struct Layers(Vec<Made>);

impl Layers {
    pub(super) fn add(&mut self, made: Made) {
        self.0.push(made);
    }

    /// Adds a layer in place of all others of its kind.
    pub(super) fn replace(&mut self, made: Made) {
        self.0
            .retain(|one| one.layer.media_type != made.layer.media_type);
        self.add(made);
    }

    /// Puts a layer where the first one of its kind is, in place of all of them.
    pub(super) fn put(&mut self, made: Made) {
        let same = |one: &Made| one.layer.media_type == made.layer.media_type;
        let at = self.0.iter().position(same).unwrap_or(self.0.len());
        self.0.retain(|one| !same(one));
        self.0.insert(at, made);
    }

    pub(super) fn of<'a>(&'a self, media_type: &'a str) -> impl Iterator<Item = &'a Layer> {
        let layers = self.0.iter().map(|one| &one.layer);
        layers.filter(move |layer| layer.media_type == media_type)
    }

    /// Weights that are not those of the model that this one is made from.
    pub(super) fn new_weights(&self, media_type: &str) -> Option<&Layer> {
        let mut layers = self.0.iter();
        let new = layers.find(|one| one.new && one.layer.media_type == media_type);
        new.map(|one| &one.layer)
    }

    /// The manifest; says of each layer what became of it.
    pub(super) fn finish(self, config: Layer, report: Report<'_>) -> Manifest {
        for made in &self.0 {
            report(Progress::status(made.status.clone()));
        }
        debug_assert_eq!(config.media_type, media::CONFIG);
        Manifest::new(config, self.0.into_iter().map(|made| made.layer).collect())
    }
}
