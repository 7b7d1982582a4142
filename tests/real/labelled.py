"""Texts and how a careful reader takes them: the instruction in them, or None for a caption."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str | None]] = {
    "question": ("How many people are standing on the bridge?", "How many people are standing on the bridge?"),
    "command": (
        "Describe the weather in this picture in two sentences.",
        "Describe the weather in this picture in two sentences.",
    ),
    "answered": (
        "What color is the car on the left? The car on the left is red.",
        "What color is the car on the left?",
    ),
    "explained": (
        "The photo shows a market in the rain. What are the people doing to stay dry?",
        "What are the people doing to stay dry?",
    ),
    "options": (
        "Which animal is sleeping?\nA. The dog\nB. The cat\nC. The horse\nD. The bird",
        "Which animal is sleeping?\nA. The dog\nB. The cat\nC. The horse\nD. The bird",
    ),
    "story": (
        "Write a short story about the old man who mends the nets.",
        "Write a short story about the old man who mends the nets.",
    ),
    "code": (
        "Write a Python function that returns the sum of the numbers in the table.",
        "Write a Python function that returns the sum of the numbers in the table.",
    ),
    "quoted": ('What does the sign that says "No Entry" forbid?', 'What does the sign that says "No Entry" forbid?'),
    "polite": ("Please list the fruits on the table.", "Please list the fruits on the table."),
    "chinese": ("图中有几只猫?", "图中有几只猫?"),
    "two": ("Who is holding the umbrella? Where does she look?", "Who is holding the umbrella?"),
    "caption": ("Two children play with a red ball on a beach. The sky is clear.", None),
    "label": ("A wooden table with a bowl of oranges.", None),
    "scene": ("The street is empty except for a parked bus and a few pigeons near the fountain.", None),
    "chart": ("The chart shows exports by year; the highest bar belongs to 2014.", None),
    "poster": ('The poster reads "Summer Market" above a basket of apples.', None),
    "portrait": ("An elderly woman in a blue coat smiles at the camera.", None),
    "chinese caption": ("一只猫坐在窗边,窗外下着雨。", None),
    "kitchen": ("In the kitchen, a man is cutting vegetables while a pot is boiling.", None),
    "room": ("A small room with white walls, a bed and a lamp.", None),
}

INSTRUCTIONS = {name: label for name, (_, label) in TEXTS.items() if label is not None and name != "chinese"}
CAPTIONS = [text for text, label in TEXTS.values() if label is None and text.isascii()]
