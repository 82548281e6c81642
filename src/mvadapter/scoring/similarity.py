"""Embeddings in, scores out."""

from mvadapter.shapes import CaptionEmbeddings, Scores, VideoEmbeddings


def cosine_scores(captions: CaptionEmbeddings, videos: VideoEmbeddings) -> Scores:
    """Score every caption against every video: the cosine, for embeddings of unit length."""
    return captions @ videos.T
