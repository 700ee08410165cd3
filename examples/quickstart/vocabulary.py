"""The vocabulary of a fictional maker of household things, Brindlewick Home.

Every phrase comes as a pair of wordings, divided by a bar: near-versions of one record take one or the other.
Parts of a product carry a kind, and the kind decides what can go wrong with them and what can be done:
``m`` moves, ``w`` holds or meets water, ``e`` is electric, ``c`` is casing. ``{p}`` stands for a part.
"""

from __future__ import annotations

COMPANY = "Brindlewick Home"
SYSTEM = f"You are the support assistant of {COMPANY}."
OTHER_SYSTEMS = [
    "Answer the customer briefly and politely.",
    "You help people who have bought something from us.",
    "You are a patient engineer at a help desk.",
]

# noun phrases of the product / parts as kind:name
CATEGORIES: dict[str, tuple[str, str]] = {
    "kettle": (
        "gooseneck kettle|travel kettle|glass kettle",
        "w:spout filter|e:keep-warm switch|c:kettle lid|w:descaling tray|e:boil sensor|m:lid spring",
    ),
    "toaster": (
        "four-slice toaster|bagel toaster|long-slot toaster",
        "m:bread lift|c:crumb tray|e:browning dial|e:defrost button|m:slot guide|c:warming rack",
    ),
    "washer": (
        "front-loading washing machine|compact washing machine|quiet washing machine",
        "m:drum|w:detergent drawer|w:door gasket|w:drain pump|e:spin display|m:drive belt",
    ),
    "dishwasher": (
        "slimline dishwasher|countertop dishwasher|family dishwasher",
        "m:lower spray arm|w:salt reservoir|c:cutlery basket|e:rinse-aid lamp|w:inlet hose|m:plate rack runner",
    ),
    "fridge": (
        "larder fridge|corner fridge|two-door fridge",
        "w:ice maker|c:salad crisper|e:frost alarm|m:compressor fan|c:egg shelf|w:meltwater channel",
    ),
    "oven": (
        "fan oven|baking oven|double oven",
        "m:convection fan|c:oven door glass|e:meat probe|e:grill element|c:baking stone|m:telescopic rail",
    ),
    "coffee": (
        "espresso machine|filter coffee maker|bean-to-cup machine",
        "m:bean grinder|w:milk frother|w:brew group|c:drip grate|e:strength selector|w:water tank",
    ),
    "vacuum": (
        "cordless vacuum cleaner|canister vacuum cleaner|stair vacuum cleaner",
        "m:brush roller|c:dust canister|e:suction lamp|e:charging dock|m:swivel neck|c:upholstery nozzle",
    ),
    "lamp": (
        "reading lamp|desk lamp|floor lamp",
        "e:dimmer wheel|c:linen shade|m:spring arm|e:daylight bulb|c:marble base|e:foot switch",
    ),
    "clock": (
        "wall clock|sunrise alarm clock|cuckoo clock",
        "m:minute hand|m:pendulum|e:radio receiver|e:snooze bar|c:walnut frame|m:chime hammer",
    ),
    "radio": (
        "kitchen radio|shower radio|bedside radio",
        "e:tuning knob|e:telescopic aerial|c:speaker cloth|w:splash cover|e:preset button|m:cassette tray",
    ),
    "heater": (
        "oil-filled radiator|convector heater|greenhouse heater",
        "e:thermostat|c:radiator fin|m:castor|e:tip-over switch|w:humidity cup|m:timer drum",
    ),
    "fan": (
        "tower fan|ceiling fan|pedestal fan",
        "m:rotor blade|m:oscillating head|c:wire cage|e:speed remote|e:night mode lamp|c:telescopic pole",
    ),
    "humidifier": (
        "cool-mist humidifier|nursery humidifier|steam humidifier",
        "w:mist nozzle|w:ceramic disc|w:refill bottle|e:humidity readout|c:aroma pad holder|e:timer key",
    ),
    "mower": (
        "robot lawn mower|cordless lawn mower|cylinder lawn mower",
        "m:cutting blade|m:rear wheel|c:grass box|e:boundary wire|e:safety key|c:folding handlebar",
    ),
    "sprinkler": (
        "garden sprinkler|drip watering set|roof-garden watering set",
        "w:brass nozzle|w:hose coupling|e:rain sensor|e:watering computer|m:swinging arm|w:pressure reducer",
    ),
    "barbecue": (
        "charcoal barbecue|gas barbecue|balcony barbecue",
        "c:grill grate|m:rotisserie motor|c:ash pan|e:igniter|c:lid thermometer|m:height crank",
    ),
    "tent": (
        "family tent|trekking tent|roof tent",
        "c:flysheet|m:door zip|c:aluminium pole|w:groundsheet seam|c:guy rope|w:rain porch",
    ),
    "bicycle": (
        "folding bicycle|cargo bicycle|city bicycle",
        "m:chain tensioner|m:hub gear|e:dynamo headlight|c:pannier rack|m:brake lever|c:leather saddle",
    ),
    "pushchair": (
        "jogging pushchair|twin pushchair|travel pushchair",
        "m:swivel wheel|c:five-point harness|w:rain hood|m:folding latch|c:footrest|m:parking brake",
    ),
    "mattress": (
        "pocket-sprung mattress|foam mattress|cot mattress",
        "c:quilted cover|c:corner strap|w:moisture barrier|m:ventilation zip|c:edge support|c:wool topper",
    ),
    "desk": (
        "standing desk|writing desk|children's desk",
        "m:lifting column|e:height memory key|c:cable trough|m:pencil drawer|c:bamboo top|e:collision sensor",
    ),
    "wardrobe": (
        "sliding wardrobe|corner wardrobe|flat-packed wardrobe",
        "m:sliding door|c:hanging rail|m:soft-close damper|c:mirror panel|e:interior light strip|c:shoe shelf",
    ),
    "blind": (
        "roller blind|venetian blind|blackout blind",
        "m:pull cord|m:slat ladder|e:solar motor|e:wall remote|c:end cap|c:bottom rail",
    ),
    "sewing": (
        "sewing machine|overlocker|embroidery machine",
        "m:bobbin winder|m:presser foot|e:foot pedal|c:needle plate|e:stitch display|m:feed dog",
    ),
    "scales": (
        "bathroom scales|kitchen scales|luggage scales",
        "e:weight readout|e:battery contact|c:tempered plate|m:strap hook|c:rubber foot|e:unit button",
    ),
    "camera": (
        "garden camera|doorbell camera|nursery camera",
        "e:infrared lamp|e:memory card slot|m:tilting mount|w:weather seal|e:motion detector|c:lens hood",
    ),
    "aquarium": (
        "starter aquarium|corner aquarium|desk aquarium",
        "w:filter cartridge|w:air stone|e:heating rod|e:moonlight lamp|c:hinged cover|m:feeding wheel",
    ),
    "piano": (
        "stage piano|learner's keyboard|upright digital piano",
        "m:sustain pedal|m:black key|e:headphone socket|e:metronome|c:music stand|c:folding bench",
    ),
    "router": (
        "mesh router|attic router|travel router",
        "e:status lamp|e:mains adaptor|c:wall bracket|m:cooling fan|e:guest network|c:antenna clip",
    ),
}

SYMPTOMS: dict[str, list[str]] = {
    "m": [
        "squeals on every turn|lets out a squeal each time it turns",
        "jams halfway|gets stuck at the halfway point",
        "rattles like a box of nails|makes a loud metallic rattle",
        "moves only if I push it with my thumb|needs a push from my thumb before it moves",
        "slips off its track|jumps clean out of its track",
        "wobbles from side to side|sways left and right",
        "smells of scorched rubber|gives off a burnt rubber smell",
        "stops dead after a minute|runs for one minute and then stops",
        "clicks as if a tooth were missing|clicks like a gear with a missing tooth",
        "has become terribly stiff|is now so stiff I can hardly shift it",
        "spins backwards|turns in the wrong direction",
        "snaps open with a bang|flies open with a loud bang",
    ],
    "w": [
        "drips on the floor overnight|leaves a puddle on the floor every night",
        "has turned green with algae|is covered in green algae",
        "is crusted with limescale|has a thick white crust of limescale",
        "smells of stale ponds|has a stale, swampy smell",
        "lets nothing through any more|is completely blocked",
        "has split along the edge|has a tear down one edge",
        "gurgles long after switching off|keeps gurgling when everything is off",
        "has frozen and burst|has burst in the frost",
        "feels slimy to the touch|has gone slippery and slimy",
        "stains everything rusty brown|leaves brown rust stains",
        "sprays sideways|squirts out at the side",
        "will not fill beyond a third|only ever fills to a third",
    ],
    "e": [
        "flashes red three times|blinks three times in red",
        "shows error E42|reports the error code E42",
        "goes dark in the middle of use|switches itself off while we are using it",
        "gives me a tiny electric shock|tingles with static when I touch it",
        "beeps all through the night|will not stop beeping at night",
        "gets too hot to hold|heats up until I cannot hold it",
        "forgets every setting|loses all of its settings",
        "hums louder than our freezer|makes a deep loud hum",
        "reacts only at the tenth press|needs ten presses before it responds",
        "shows numbers that cannot be right|gives readings that make no sense",
        "loses its connection at noon|drops out every day around noon",
        "trips the fuse|blows the fuse of the whole flat",
    ],
    "c": [
        "has cracked across the middle|shows a long crack in the middle",
        "is bent like a banana|has bent into the shape of a banana",
        "has come loose from its screws|has worked its screws loose",
        "has faded in the sunshine|has been bleached by the sun",
        "does not fit by two millimetres|is two millimetres too wide",
        "peels like old paint|is shedding flakes of paint",
        "is covered in deep scratches|bears deep scratches all over",
        "creaks at the slightest touch|groans whenever anyone touches it",
        "refuses to stay in place|will not stay where it belongs",
        "has sharp burrs that cut my finger|cuts my finger with its rough edge",
        "sags lower each week|hangs a little lower every week",
        "has yellowed badly|has gone an ugly yellow",
    ],
}

ACTIONS: dict[str, list[str]] = {
    "m": [
        "put one drop of sewing oil on the {p}|oil the {p} with a single drop",
        "turn the {p} by hand until it clicks|rotate the {p} yourself and wait for the click",
        "pick hair and thread out of the {p} with tweezers|use tweezers to pull threads and hair from the {p}",
        "loosen the brass screw behind the {p}|undo the brass screw at the back of the {p}",
        "line up the two arrows beside the {p}|bring both arrows near the {p} into line",
        "brush graphite powder into the {p}|work some graphite powder into the {p}",
        "slide the {p} out towards you|draw the {p} towards yourself",
        "swap the worn bearing in the {p}|fit a fresh bearing to the {p}",
        "tighten the {p} by a quarter turn|give the {p} a quarter turn clockwise",
        "wedge a cork under the {p} for an hour|leave a cork beneath the {p} for one hour",
        "blow compressed air across the {p}|clear the {p} with a burst of compressed air",
        "hook the {p} back on its peg|hang the {p} on its peg again",
    ],
    "w": [
        "soak the {p} in warm vinegar|leave the {p} in a bath of warm vinegar",
        "run two litres of clear water through the {p}|flush the {p} with two litres of clear water",
        "rub the {p} with half a lemon|clean the {p} using half a lemon",
        "smear silicone grease round the {p}|grease the {p} with a little silicone",
        "dry the {p} on a towel overnight|leave the {p} on a towel until morning",
        "poke the {p} free with a pipe cleaner|unblock the {p} using a pipe cleaner",
        "close the stopcock before touching the {p}|shut the stopcock, then see to the {p}",
        "turn the {p} the other way up|fit the {p} upside down",
        "dissolve a spoonful of citric acid in the {p}|put one spoonful of citric acid into the {p}",
        "seal the {p} with the blue tape supplied|wrap our blue tape round the {p}",
        "scrub the {p} with baking soda|scour the {p} using baking soda",
        "raise the {p} by a hand's breadth|lift the {p} about a hand's breadth",
    ],
    "e": [
        "unplug the {p} for ten minutes|leave the {p} unplugged for ten minutes",
        "hold the {p} down until you hear a chirp|press the {p} and wait for the chirp",
        "put new alkaline batteries into the {p}|change the batteries of the {p} for alkaline ones",
        "wipe the contacts of the {p} with spirit|clean the {p} contacts using spirit",
        "install firmware seven on the {p}|update the {p} to firmware seven",
        "move the {p} away from the microwave|keep the {p} far from any microwave",
        "press the {p} and the power key together|push the power key and the {p} at once",
        "reset the {p} with a paper clip|push a paper clip into the pinhole of the {p}",
        "pair the {p} again in the app|use the app to pair the {p} once more",
        "check the {p} with a multimeter|measure the {p} using a multimeter",
        "replace the glass fuse of the {p}|fit a new glass fuse in the {p}",
        "shade the {p} from direct sunlight|keep bright sunlight off the {p}",
    ],
    "c": [
        "fill the crack in the {p} with epoxy resin|mend the {p} using epoxy resin",
        "fasten the {p} with the longer bolts|use the longer bolts to fix the {p}",
        "sand the {p} with fine paper|smooth the {p} using fine sandpaper",
        "send us a photograph of the {p}|take a picture of the {p} and post it to us",
        "rub beeswax into the {p}|polish the {p} using beeswax",
        "stick the felt pads below the {p}|glue felt pads to the underside of the {p}",
        "warm the {p} with a hair dryer|heat the {p} gently using a hair dryer",
        "level the {p} with a spirit level|hold a spirit level to the {p} and adjust it",
        "wash the {p} in soapy water|clean the {p} using soap suds",
        "clamp the {p} between two boards|press the {p} flat between a pair of boards",
        "cover the {p} with a cotton sheet|lay a cotton sheet over the {p}",
        "trim the {p} with kitchen scissors|cut the {p} to size using kitchen scissors",
    ],
}

CAUSES: dict[str, list[str]] = {
    "m": [
        "A trapped pebble usually does this|As a rule a pebble has got in",
        "The transport lock was probably left in place|Most likely the transport lock was never removed",
        "That is wear after many hours|Long hours of use wear it out",
        "Old grease hardens in the cold|Cold weather hardens the old grease",
        "A pin inside has sheared|One of the inner pins is broken",
    ],
    "w": [
        "Hard water is to blame|The reason is hard water",
        "A rubber ring has perished|One rubber ring is worn out",
        "The slope of the pipe is too slight|The pipe does not slope enough",
        "Soap has built up there|A layer of soap has formed",
        "Air is caught in the line|There is an air lock in the line",
    ],
    "e": [
        "A loose plug explains it|This comes from a loose plug",
        "The memory chip needs a fresh start|The memory chip has to be cleared",
        "Damp has crept into the wiring|The wiring has become damp",
        "Your neighbour's transmitter interferes|A transmitter next door disturbs it",
        "The battery has aged|An old battery is the cause",
    ],
    "c": [
        "That batch left our paint shop too early|Our paint shop released that batch too soon",
        "The courier must have dropped the parcel|It seems the courier let the parcel fall",
        "Wood swells in moist rooms|In a moist room the wood swells",
        "The drawing in the manual is wrong|Our manual has a mistake in that drawing",
        "Cheap screws were supplied by mistake|By mistake the wrong screws were packed",
    ],
}

CIRCUMSTANCES = [
    "since the power cut on Thursday|ever since Thursday's power cut",
    "after our move to a houseboat|now that we live on a houseboat",
    "since the twins were born|since the birth of our twins",
    "after the thunderstorm|since we had that thunderstorm",
    "since the neighbours took up drumming|after the neighbours had taken up the drums",
    "since my grandson played with it|after my grandson had it as a toy",
    "after three weeks in the cellar|since it stood in the cellar for three weeks",
    "since the mornings grew dark|now that the mornings are dark",
    "since the plumber's visit|after the plumber had been here",
    "since the heating season began|now that the heating is on",
    "after a birthday party|since my wife's birthday party",
    "since we painted the hallway|after painting our hallway",
    "since the humid weather set in|now that the air is humid",
    "after the flight from the islands|since our flight home from the islands",
    "since the first snow|after the first snowfall",
    "since the dog knocked it over|after our dog had knocked it down",
    "after I spilt raspberry syrup|since I poured raspberry syrup over it",
    "since the football final|after the football final",
    "since harvest began|ever since the harvest started",
    "in our caravan by the sea|by the sea, in our caravan",
    "after a month at the school library|since the school library borrowed it for a month",
    "since the clocks changed|after the clocks went forward",
    "since my flatmate learned to cook curry|now that my flatmate cooks curry",
    "after the chimney sweep left|since the chimney sweep was here",
    "on the third floor of our bakery|in our bakery, up on the third floor",
    "since the children built a den round it|after the children turned it into a den",
    "since two guests came to stay|now that two guests are staying",
    "after I followed a video|since I tried what a video showed",
    "near the stable where the ponies sleep|beside the ponies' stable",
    "since an earthquake drill|after the earthquake drill at work",
    "since my husband took up the violin|now that my husband plays the violin",
    "after a wet summer under the apple tree|since it spent a wet summer below the apple tree",
    "since our landlord changed the sockets|after the landlord fitted other sockets",
    "at the allotment hut|in the hut on my allotment",
    "after the wedding of my cousin|since my cousin's wedding",
    "since the roof began to leak|after the roof had started leaking",
]

OUTCOMES = [
    "we will post you a spare free of charge|a spare part will reach you at no cost",
    "our van collects it on Friday|it will be fetched by our van on Friday",
    "the guarantee covers this for six years|this falls under the six-year guarantee",
    "you may return it for a full refund|a full refund is yours if you send it back",
    "a fitter from the Ostrey depot will ring you|expect a call from a fitter at the Ostrey depot",
    "we shall add a voucher for the trouble|a voucher will make up for the bother",
    "please allow two days for the glue to set|the glue takes two days to harden",
    "keep children away until then|until then children should stay clear",
    "the repair video is chapter nine of our channel|chapter nine on our channel shows the repair",
    "ask for form blue at any branch|any branch will give you the blue form",
    "we lend you another one meanwhile|in the meantime you get one on loan",
    "it ought to run quietly again|after that it should be quiet again",
    "do not use bleach under any circumstances|bleach must never be used",
    "note the reading and write to us on Monday|write to us on Monday with the reading",
    "an upgrade kit is half price this month|this month the upgrade kit costs half",
    "the service costs nineteen crowns|we charge nineteen crowns for the service",
    "our recycling yard accepts the old one|take the old one to our recycling yard",
    "the workshop in Pellmoor has it in stock|it is in stock at the Pellmoor workshop",
    "an adapter for older sockets is on its way|we have sent an adapter for older sockets",
    "you will find the drawing on page thirty|page thirty has the drawing",
    "test it with an empty load first|first try it without any load",
    "repeat this every autumn|do the same again each autumn",
    "the insurance number is printed on the lid|look on the lid for the insurance number",
    "we have told the factory|the factory has been informed",
]

SERIES = [
    "Alderby", "Corvane", "Dunmarrow", "Eskel", "Fennimore", "Garrowby", "Hazelind", "Ivermay", "Jessamy",
    "Kestrow", "Larkholm", "Merrivane", "Nettlebay", "Orlind", "Pemberay", "Quillon", "Rosedrift",
    "Silvermoth", "Thistleby", "Umberlow", "Velloway", "Wrenfold", "Yarrowmere", "Zephrin", "Amberlight",
    "Boldero", "Cinderly", "Duskfern", "Everstill", "Foxmallow", "Gildren", "Hollowell",
]  # fmt: skip
TOWNS = [
    "Ostrey", "Pellmoor", "Hedra", "Kirrinbeck", "Dunlocky", "Farrowgate", "Marram", "Tolverne",
    "Windhythe", "Brackenford", "Coldstaithe", "Ellerwick", "Gannetsby", "Harrowmouth", "Islewater",
    "Marlpit", "Netherquay", "Oxpool", "Ravensholt", "Sallowfield", "Tarnby", "Fossick", "Westerlode",
    "Yewbridge",
]  # fmt: skip
NAMES = [
    "Ada", "Bram", "Celia", "Dorian", "Elspeth", "Felix", "Greta", "Hamish", "Imogen", "Jonas", "Katya",
    "Leander", "Mabel", "Nils", "Odette", "Piers", "Rowena", "Selim", "Tamar", "Ulric", "Verity",
    "Wilfred", "Yasmin", "Zora", "Anselm", "Bettina", "Cosmo", "Delphine", "Edwin", "Freya", "Gideon",
    "Hester",
]  # fmt: skip
WHEN = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

COLOURS = [
    "sage-green", "ivory", "cobalt", "terracotta", "slate-grey", "mustard", "cherry-red", "pearl",
    "charcoal", "turquoise",
]  # fmt: skip
MATERIALS = ["beech", "enamel", "cork", "pewter", "porcelain", "felt", "copper", "bamboo", "steel", "linen"]
EVENTS = [
    "the ferry was late again",
    "fog lay over the harbour",
    "the market hall filled with swallows",
    "a brass band marched past",
    "the river rose by a foot",
    "the baker gave away plum tarts",
    "the lighthouse got a new coat of white",
    "two geese blocked the tram",
    "the museum opened its cellar",
    "the choir sang on the steps",
    "a circus put up its poles",
    "the mayor planted a lime tree",
    "school ended at noon",
    "the bridge was closed to carts",
    "an owl nested in the station clock",
    "the first cherries were sold",
    "the regatta was won by a rowing boat",
    "the cinema showed a silent film",
    "the old mill began to turn",
    "a balloon landed in the hay",
    "lanterns hung from every window",
    "the beekeepers held their meeting",
    "a sailor read poems aloud",
    "the snow plough got stuck",
]
TRADES = [
    "carpenter", "fisherman", "librarian", "gardener", "tailor", "nurse", "cartographer", "potter",
    "postman", "violinist", "glazier", "cook", "surveyor", "weaver", "ferryman",
]  # fmt: skip
