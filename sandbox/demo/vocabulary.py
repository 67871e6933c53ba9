"""The words of the catalogue: what a shop sells, and what each thing is good for.

Searching by meaning is only worth showing when the words mean something: every product says in its own sentences what
it is for, and the rest (brand, material, feature) varies around that.
"""

from __future__ import annotations

import dataclasses
from typing import Final


@dataclasses.dataclass(frozen=True)
class Product:
    """One kind of thing: its name, what it costs about in euros, and sentences that say what it is for."""

    name: str
    usual_price: int
    uses: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Category:
    """A shelf of the shop."""

    name: str
    brands: tuple[str, ...]
    looks: tuple[str, ...]
    features: tuple[str, ...]
    products: tuple[Product, ...]


def _products(*kinds: tuple[str, int, str, str]) -> tuple[Product, ...]:
    return tuple(Product(name, price, (first, second)) for name, price, first, second in kinds)


CATEGORIES: Final = (
    Category(
        "garden",
        ("Greenleaf", "Hollow & Thorn", "Meadowcraft", "Oldfield"),
        ("Ash Handled", "Stainless Steel", "Compact", "Heavy Duty", "Lightweight"),
        ("Rust free after years outdoors.", "The grip stays dry in the rain.", "Hangs flat on a shed wall."),
        _products(
            (
                "Digging Spade",
                35,
                "Cuts through heavy clay soil and turns over a flower bed.",
                "Digs planting holes for shrubs and young trees.",
            ),
            (
                "Pruning Shears",
                24,
                "Trims roses and cuts back branches without crushing the stem.",
                "Keeps hedges and fruit trees in shape.",
            ),
            (
                "Watering Can",
                18,
                "Waters seedlings and flower pots with a gentle shower.",
                "A long spout reaches the plants at the back of the greenhouse.",
            ),
            (
                "Lawn Rake",
                22,
                "Gathers fallen leaves and moss from the lawn in autumn.",
                "Spreads fresh compost evenly over the grass.",
            ),
            (
                "Seed Starter Tray",
                14,
                "Raises tomato and herb seedlings on the window sill before the last frost.",
                "Keeps seeds warm and moist until they sprout.",
            ),
            (
                "Compost Bin",
                79,
                "Turns vegetable peelings and cut grass into rich soil.",
                "Holds a season of garden waste without any smell.",
            ),
        ),
    ),
    Category(
        "kitchen",
        ("Copperpot", "Bellarosa", "Northern Table", "Chef Anders"),
        ("Cast Iron", "Copper", "Professional", "Everyday", "Large"),
        ("Goes into the dishwasher.", "Works on induction hobs.", "Comes with a booklet of recipes."),
        _products(
            (
                "Frying Pan",
                59,
                "Sears a steak and fries eggs without sticking.",
                "Holds an even heat for pancakes and crisp potatoes.",
            ),
            (
                "Chef's Knife",
                85,
                "Slices vegetables, meat and herbs with a razor sharp blade.",
                "Chops onions finely and carves a roast with ease.",
            ),
            (
                "Espresso Machine",
                290,
                "Brews strong coffee and froths milk for a cappuccino in the morning.",
                "Pulls a rich espresso from freshly ground coffee beans.",
            ),
            (
                "Bread Baking Tin",
                19,
                "Bakes sourdough loaves with a crisp golden crust.",
                "For banana bread, brioche and cakes straight from the oven.",
            ),
            (
                "Stock Pot",
                69,
                "Simmers soup, broth and pasta for a whole family.",
                "Cooks chilli and stew slowly over a low flame.",
            ),
            (
                "Stand Mixer",
                320,
                "Kneads bread dough and whips cream while you do something else.",
                "Mixes cake batter and beats egg whites until stiff.",
            ),
        ),
    ),
    Category(
        "tools",
        ("Ironwood", "Hartmann", "Bolt & Beam", "Steelmark"),
        ("Cordless", "Forged", "Precision", "Compact", "Industrial"),
        (
            "Balanced for long days of work.",
            "Delivered in a sturdy case.",
            "Made to be repaired, with spare parts.",
        ),
        _products(
            (
                "Claw Hammer",
                28,
                "Drives nails into timber and pulls bent ones out again.",
                "For framing, carpentry and repairs about the house.",
            ),
            (
                "Power Drill",
                129,
                "Drills holes in wood, metal and concrete walls.",
                "Drives screws into furniture and shelves at a steady torque.",
            ),
            (
                "Socket Wrench Set",
                89,
                "Loosens rusted bolts on cars, bikes and machines.",
                "Tightens nuts in places where the hand hardly fits.",
            ),
            (
                "Hand Saw",
                26,
                "Cuts planks and boards to length with a clean edge.",
                "Saws plywood and branches on the pull stroke.",
            ),
            (
                "Spirit Level",
                32,
                "Hangs shelves and pictures perfectly straight.",
                "Checks that walls, floors and worktops are true.",
            ),
            (
                "Orbital Sander",
                95,
                "Sands a table top smooth before painting or varnishing.",
                "Strips old paint from doors and window frames.",
            ),
        ),
    ),
    Category(
        "sport",
        ("Summit", "Velocity", "Northwind", "Alpina"),
        ("Lightweight", "Waterproof", "Professional", "Beginner", "Carbon"),
        ("Breathes well on hot days.", "Reflects light in the dark.", "Chosen by clubs all over the country."),
        _products(
            (
                "Running Shoes",
                120,
                "Cushions every stride on long marathon runs.",
                "Grips muddy trails and keeps joggers' feet dry.",
            ),
            (
                "Yoga Mat",
                35,
                "A soft, non slip mat for stretching, pilates and yoga.",
                "Rolls up small for exercise classes and meditation.",
            ),
            (
                "Mountain Bike",
                1150,
                "Rides over rocks and roots on steep forest trails.",
                "Strong disc brakes for cycling down the mountain.",
            ),
            (
                "Tennis Racket",
                140,
                "Powerful serves and precise backhands on any court.",
                "Absorbs vibration for players with a sore elbow.",
            ),
            (
                "Swimming Goggles",
                22,
                "See clearly under water in the pool and in the sea.",
                "Seals gently round the eyes for swimmers and triathletes.",
            ),
            (
                "Climbing Rope",
                160,
                "Catches falls softly on rock faces and in the climbing gym.",
                "For mountaineers on ice, rock and glacier.",
            ),
        ),
    ),
    Category(
        "books",
        ("Lantern Press", "Harbour House", "Quill & Co", "Blue Door"),
        ("Illustrated", "Hardcover", "Paperback", "Annotated", "Collector's"),
        ("Printed on acid free paper.", "With a foreword by the editor.", "Winner of a readers' prize."),
        _products(
            (
                "Murder Mystery Novel",
                14,
                "A detective hunts a killer through a snowed in village.",
                "A crime story full of clues, suspects and secrets.",
            ),
            (
                "History of Ancient Rome",
                32,
                "Emperors, legions and daily life in the Roman empire.",
                "How a town on the Tiber came to rule the Mediterranean.",
            ),
            (
                "Introduction to Astronomy",
                36,
                "Stars, planets and galaxies explained for curious readers.",
                "How to find constellations and the moons of Jupiter with a telescope.",
            ),
            (
                "Vegetarian Cookbook",
                28,
                "A hundred recipes for meatless dinners, soups and salads.",
                "Simple plant based cooking for every season.",
            ),
            (
                "Fairy Tale Collection",
                20,
                "Bedtime stories of dragons, princesses and talking animals.",
                "Old tales for children to be read aloud in the evening.",
            ),
            (
                "Space Opera Novel",
                15,
                "Rebels and starships in a war between distant planets.",
                "A science fiction adventure with robots and aliens.",
            ),
        ),
    ),
    Category(
        "toys",
        ("Tumbletown", "Little Otter", "Brickworks", "Wonderbox"),
        ("Wooden", "Giant", "Classic", "Colourful", "Soft"),
        ("Safe for small hands.", "Painted with water based colours.", "Packed as a present."),
        _products(
            (
                "Building Blocks",
                39,
                "Children stack towers, castles and bridges for hours.",
                "Bricks that snap together into houses and cars.",
            ),
            (
                "Teddy Bear",
                25,
                "A cuddly friend for toddlers at bedtime.",
                "Soft plush fur to hug, comfort and love.",
            ),
            (
                "Jigsaw Puzzle",
                18,
                "A thousand pieces for rainy afternoons with the family.",
                "Trains patience and a sharp eye.",
            ),
            (
                "Toy Train Set",
                69,
                "A locomotive pulls wagons round a track of rails and tunnels.",
                "Kids build their own railway through the living room.",
            ),
            (
                "Board Game",
                42,
                "Roll the dice, trade cards and outwit your friends.",
                "A strategy game for two to six players on game night.",
            ),
        ),
    ),
    Category(
        "music",
        ("Cadenza", "Bluewood", "Resonance", "Old Town Strings"),
        ("Handmade", "Vintage", "Student", "Stage", "Studio"),
        ("Stays in tune.", "With a padded bag.", "Played in by hand before it leaves the workshop."),
        _products(
            (
                "Acoustic Guitar",
                340,
                "A warm sound for songs round the camp fire.",
                "Easy to strum for those who learn their first chords.",
            ),
            (
                "Digital Piano",
                780,
                "Weighted keys feel like those of a concert grand.",
                "Practise with headphones while the neighbours sleep.",
            ),
            (
                "Drum Kit",
                690,
                "Snare, bass drum and cymbals for rock and jazz.",
                "Lays down the beat for a band on stage.",
            ),
            (
                "Violin",
                420,
                "A clear singing tone for orchestra and chamber music.",
                "Comes with a bow and rosin for the first lessons.",
            ),
            (
                "Studio Headphones",
                150,
                "Listen to every detail of a recording without noise from outside.",
                "Closed back sound for mixing, podcasts and music on the train.",
            ),
        ),
    ),
    Category(
        "pets",
        ("Pawprint", "Whisker", "Good Boy", "Feather & Fin"),
        ("Washable", "Extra Large", "Chew Proof", "Cosy", "Natural"),
        ("Recommended by vets.", "Free of perfume.", "The cover comes off for washing."),
        _products(
            (
                "Dog Bed",
                65,
                "A soft place to sleep for old dogs with stiff joints.",
                "Puppies curl up in it after a long walk.",
            ),
            (
                "Cat Scratching Post",
                58,
                "Saves the sofa from the claws of a playful kitten.",
                "Cats climb, scratch and nap high above the floor.",
            ),
            (
                "Dog Leash",
                19,
                "Walks a strong dog safely through the city.",
                "Stays comfortable in the hand when the hound pulls.",
            ),
            (
                "Aquarium Filter",
                45,
                "Keeps the water clear for tropical fish.",
                "Runs silently beside goldfish, shrimps and plants.",
            ),
            (
                "Bird Feeder",
                24,
                "Brings finches and robins to the window in winter.",
                "Holds seeds for wild birds and keeps squirrels away.",
            ),
        ),
    ),
    Category(
        "office",
        ("Deskly", "Clearline", "Paper Mill", "Ergo Works"),
        ("Ergonomic", "Adjustable", "Minimal", "Recycled", "Oak"),
        ("Ten years of guarantee.", "Set up in five minutes.", "Quiet enough for a shared room."),
        _products(
            (
                "Office Chair",
                310,
                "Supports the lower back through a long day at the desk.",
                "Relieves back pain with an adjustable lumbar rest.",
            ),
            (
                "Standing Desk",
                540,
                "Rises at the touch of a button so that you can work on your feet.",
                "Room for two monitors, a laptop and coffee.",
            ),
            (
                "Mechanical Keyboard",
                110,
                "Types fast and precisely with a satisfying click.",
                "For programmers and writers who type all day.",
            ),
            (
                "Notebook",
                12,
                "Thick paper for sketches, notes and fountain pens.",
                "Plan the week and keep a diary by hand.",
            ),
            (
                "Desk Lamp",
                55,
                "Warm light for reading late without tired eyes.",
                "Dims and turns to light up the page, not the screen.",
            ),
        ),
    ),
    Category(
        "travel",
        ("Wayfarer", "Longroad", "Driftwood", "Polaris"),
        ("Ultralight", "Waterproof", "Foldable", "Four Season", "Rugged"),
        ("Fits under an aeroplane seat.", "Tested in a week of rain.", "Weighs less than a loaf of bread."),
        _products(
            (
                "Camping Tent",
                260,
                "Shelters two hikers from wind and rain in the mountains.",
                "Pitched in minutes for nights under the stars.",
            ),
            (
                "Sleeping Bag",
                130,
                "Keeps campers warm through freezing nights.",
                "Down filling for winter expeditions in the snow.",
            ),
            (
                "Rolling Suitcase",
                145,
                "Glides through airports on four silent wheels.",
                "Packs clothes for two weeks of holiday.",
            ),
            (
                "Hiking Backpack",
                125,
                "Carries food, water and clothes on a trek of many days.",
                "Padded hip belt takes the weight off the shoulders.",
            ),
            (
                "Travel Adapter",
                23,
                "Charges phones and laptops from any socket in the world.",
                "One plug for hotels in Europe, Asia and America.",
            ),
        ),
    ),
)

COLOURS: Final = ("black", "white", "forest green", "navy blue", "brick red", "sand", "slate grey", "sunflower yellow")
AUDIENCES: Final = (
    "A favourite of beginners.",
    "Built for people who use it every day.",
    "A present that is really used.",
    "For small homes and big plans.",
    "What professionals reach for.",
    "Good value for families.",
)
