"""Sentences of the demo script that don't depend on a scene."""

TOPICS = (
    "a bicycle", "a lighthouse", "a compass", "a thermometer", "a sailing boat", "a library", "a telescope", "a clock",
    "a windmill", "a camera", "a piano", "a bridge", "a greenhouse", "a kite", "a battery", "a lock", "a radio",
)  # fmt: skip
DETAILS = (
    "The drawing has clean edges and even colours, and every part of it is easy to see from a distance.",
    "Behind it there is a pale, plain surface without a pattern, a frame or a shadow of any kind.",
    "Nothing overlaps, and there is free space between the parts and around the whole drawing.",
    "All of it lies flat on the surface, like a printed sheet that children use to learn colours and forms.",
    "The lines are straight or evenly curved, and no corner is rounded, broken or hidden by another thing.",
    "The colours are strong and do not run into each other, so that each part has one colour only.",
    "No person, animal or plant is visible, and nothing tells the time of day or the season.",
    "The picture is square, and what it shows takes up about half of its height and of its width.",
    "It looks as if a program had drawn it, since there is no texture of paper, ink or brush.",
    "The light is the same everywhere, without reflections, highlights, blur or noise in any corner.",
)
USUAL = {
    "What is behind the things in the picture?": "Behind them is a plain, pale surface.",
    "Who is visible in the picture?": "No person is visible in it.",
    "How was the picture made?": "A program drew it, because it has clean edges and even colours.",
    "Which format has the picture?": "The picture is square.",
    "Why is the picture easy to read?": "It is easy to read because nothing in it overlaps.",
}
TASKS = (
    "Explain to a child how {} works.",
    "What should somebody know before they buy {}?",
    "Write three sentences about the history of {}.",
    "Which parts does {} have, and what is each of them for?",
    "Plan a lesson of one hour about {}.",
)
