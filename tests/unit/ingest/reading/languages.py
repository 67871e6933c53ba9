"""Ordinary sentences of shops in many languages, and the encodings in which their files are written."""

import dataclasses
import random
import unicodedata


@dataclasses.dataclass(frozen=True)
class Language:
    """Sentences, and the pages that people there use."""

    codecs: tuple[str, ...]
    sentences: tuple[str, ...]

    def written(self, rows: int, seed: int, codec: str) -> tuple[bytes, list[str]]:
        """A CSV of so many rows, drawn at random, and its texts."""
        drawn = random.Random(f"{rows} {seed}")
        usable = [form(each, codec) for each in self.sentences]
        texts = [drawn.choice(usable) for _ in range(rows)]
        if all(map(str.isascii, texts)):
            texts[0] = next(each for each in usable if not each.isascii())
        lines = "".join(f"{number};{text}\r\n" for number, text in enumerate(texts, start=1))
        return ("id;formatted_text\r\n" + lines).encode(codec), texts


def form(text: str, codec: str) -> str:
    """A sentence as a page can hold it: Vietnamese with its tones as marks of their own."""
    if codec != "cp1258":
        return text
    made = ""
    for character in text:
        plain = unicodedata.normalize("NFD", character)
        tones = "".join(mark for mark in plain if mark in "\u0300\u0301\u0303\u0309\u0323")
        made += unicodedata.normalize("NFC", "".join(mark for mark in plain if mark not in tones)) + tones
    return made


LANGUAGES = {
    "Italian": Language(("cp1252", "cp850", "mac_roman"), (
        "La libertà di scegliere è tua", "Una lampada più bella di così", "Il tavolo è di ottima qualità",
        "Perché la sedia è così comoda", "Il tappeto è già in città", "Caffè macinato, più aroma ogni mattina",
        "Il divano può diventare un letto", "Tè verde in bustine, venti pezzi", "Scaffale in metallo per la cucina",
        "Questa borsa è leggera e si chiude da sé",
    )),
    "Swedish": Language(("cp1252", "cp850"), (
        "Cykelkorg i flätat stål passar på de flesta cyklar", "Röd stol för barn", "Blå lampa till skrivbordet",
        "Mjuk matta av ull från Småland", "Köksbord av björk med två lådor", "Håller värmen hela dagen",
        "Trädgårdsstol som går att fälla ihop", "Liten hylla för böcker", "Väska med många fickor",
        "Stekpanna av gjutjärn, tål ugn",
    )),
    "German": Language(("cp1252", "cp850", "cp437", "mac_roman"), (
        "Gemütlicher Sessel für das Wohnzimmer", "Größe verstellbar, auch für Kinder", "Weiße Tasse aus Porzellan",
        "Tisch mit schöner Oberfläche aus Eiche", "Lässt sich leicht öffnen und schließen", "Küchenmesser, sehr scharf",
        "Überzug waschbar bei 30 Grad", "Der Stuhl trägt bis zu 120 Kilo", "Fahrradschloss mit zwei Schlüsseln",
        "Wärmt schnell und hält lange",
    )),
    "French": Language(("cp1252", "cp850", "mac_roman"), (
        "Chaise légère pour le café", "Table basse en chêne massif", "Un tapis très doux, fabriqué à la main",
        "La lampe éclaire toute la pièce", "Théière émaillée, idéale pour deux personnes", "Sac à dos imperméable",
        "Couvert en acier, qualité garantie", "Prêt à être monté en dix minutes", "Déjà réglé, ça marche tout de suite",
        "Boîte à bijoux avec clé",
    )),
    "Spanish": Language(("cp1252", "cp850"), (
        "Silla de niño con respaldo cómodo", "Lámpara pequeña para el salón", "Mesa de jardín, fácil de plegar",
        "El sillón más cómodo de la casa", "Sartén de aluminio con tapa", "Edredón de algodón para el otoño",
        "¿Busca un regalo? Este reloj le gustará", "Cafetera rápida y económica", "Alfombra hecha a mano en España",
        "Cajón extra para los cubiertos",
    )),
    "Portuguese": Language(("cp1252", "cp850", "cp860"), (
        "Cadeira confortável para a sala de estar", "A mesa não ocupa muito espaço", "Fogão elétrico com três bocas",
        "Lençol de algodão, fácil de lavar", "Relógio de parede em aço", "Coleção de chávenas com pires",
        "É ideal para crianças e bebés", "Tapete macio, feito à mão", "Mochila impermeável com vários bolsos",
        "Pão caseiro em dez minutos com esta máquina",
    )),
    "Danish": Language(("cp1252", "cp850"), (
        "Rød stol til børn", "Blød sofa med plads til tre", "Håndlavet tæppe af uld", "Lampe til læsning på sengen",
        "Bordet kan klappes sammen på få sekunder", "Køkkenkniv i rustfrit stål", "Cykelhjelm, også til små hoveder",
        "Stor gryde med låg", "Tøjet tørrer hurtigt på dette stativ", "Æske til smykker",
    )),
    "Norwegian": Language(("cp1252",), (
        "Myk genser av ull", "Lett stol på hjul", "Blå kopp med hank", "Bord av bjørk, enkelt å sette sammen",
        "Sekk som tåler regn og snø", "Lampe for skrivebordet, også med batteri", "Et godt teppe når det er kaldt på hytta",
        "Kjøkkenbenk med skuffer", "Vekkerklokke som lyser i mørket", "Håndkle, dobbelt så tykt",
    )),
    "Dutch": Language(("cp1252",), (
        "Een stevige stoel voor het café", "Tafel met twee geïntegreerde laden", "Ideeën voor een kleine keuken",
        "De lamp is te dimmen, één druk is genoeg", "Reünie van stijl en comfort", "Zachte deken voor de bank",
        "Fiets met drie versnellingen en coördinaten per gps", "Onze crème kleurt bij alles", "Kast van massief eiken",
        "Knoeien met koffie is verleden tijd, zo'n kan schenkt goed",
    )),
    "Finnish": Language(("cp1252", "cp850"), (
        "Kevyt tuoli lapsille", "Pöytä, jonka voi taittaa kokoon", "Pehmeä matto käsin tehty", "Valaisin työpöydälle",
        "Sängyn päälle tuleva peitto", "Pyörän kori, sopii lähes kaikkiin", "Kahvikuppi, jossa on iso kahva",
        "Keittiöveitsi ruostumatonta terästä", "Hyvä lahja ystävälle", "Helppo pestä ja säilyttää",
    )),
    "Polish": Language(("cp1250", "iso8859-2", "cp852", "mac_latin2"), (
        "Krzesło dla dziecka, bardzo wygodne", "Stół z litego drewna dębowego", "Lampa do czytania przy łóżku",
        "Ręcznie tkany dywan z wełny", "Poduszka, która łatwo się pierze", "Garnek ze stali, średni rozmiar",
        "Rower miejski z koszem na zakupy", "Żółty kubek na herbatę", "Półka na książki do małego pokoju",
        "Zegar ścienny, cichy i dokładny",
    )),
    "Czech": Language(("cp1250", "iso8859-2", "cp852"), (
        "Dětská židle s pohodlným opěradlem", "Stůl z dubového dřeva", "Měkký koberec, ručně tkaný",
        "Lampička na čtení u postele", "Hrnec z nerezové oceli s poklicí", "Nůž na chléb, velmi ostrý",
        "Kolo do města s košíkem", "Žlutý hrnek na čaj", "Skříň se třemi zásuvkami", "Tichý budík, který svítí ve tmě",
    )),
    "Hungarian": Language(("cp1250", "iso8859-2", "cp852"), (
        "Könnyű szék gyerekeknek", "Tölgyfa asztal két fiókkal", "Kézzel szőtt gyapjú szőnyeg", "Olvasólámpa az ágy mellé",
        "Rozsdamentes acél fazék fedővel", "Nagyon éles kenyérvágó kés", "Városi kerékpár kosárral", "Sárga bögre teához",
        "Könyvespolc kis szobába", "Csendes ébresztőóra, sötétben világít",
    )),
    "Romanian": Language(("cp1250",), (
        "Scaun uşor pentru copii", "Masă din lemn de stejar", "Covor moale, ţesut de mână", "Lampă de citit lângă pat",
        "Oală din oţel inoxidabil cu capac", "Cuţit foarte ascuţit pentru pâine", "Bicicletă de oraş cu coş",
        "Cană galbenă pentru ceai", "Raft de cărţi pentru o cameră mică", "Ceas deşteptător care luminează în întuneric",
    )),
    "Turkish": Language(("cp1254", "mac_turkish"), (
        "Çocuklar için hafif sandalye", "Meşe ağacından masa", "El dokuması yumuşak halı", "Yatak başı için okuma lambası",
        "Kapaklı paslanmaz çelik tencere", "Çok keskin ekmek bıçağı", "Sepetli şehir bisikleti", "Çay için sarı kupa",
        "Küçük odalar için kitaplık", "Karanlıkta ışık veren sessiz çalar saat",
    )),
    "Lithuanian": Language(("cp1257",), (
        "Lengva kėdė vaikams", "Ąžuolinis stalas su dviem stalčiais", "Rankų darbo vilnonis kilimas",
        "Lempa skaitymui prie lovos", "Nerūdijančio plieno puodas su dangčiu", "Labai aštrus peilis duonai",
        "Miesto dviratis su krepšiu", "Geltonas puodelis arbatai", "Knygų lentyna mažam kambariui",
        "Tylus žadintuvas, šviečia tamsoje",
    )),
    "Latvian": Language(("cp1257",), (
        "Viegls krēsls bērniem", "Ozolkoka galds ar divām atvilktnēm", "Mīksts vilnas paklājs, austs ar rokām",
        "Lampa lasīšanai pie gultas", "Nerūsējošā tērauda katls ar vāku", "Ļoti ass maizes nazis",
        "Pilsētas velosipēds ar grozu", "Dzeltena tējas krūze", "Grāmatu plaukts mazai istabai",
        "Kluss modinātājs, kas spīd tumsā",
    )),
    "Russian": Language(("cp1251", "koi8-r", "cp866", "iso8859-5"), (
        "Лёгкий стул для детей", "Стол из дуба с двумя ящиками", "Мягкий ковёр ручной работы", "Лампа для чтения у кровати",
        "Кастрюля из нержавеющей стали", "Очень острый нож для хлеба", "Городской велосипед с корзиной",
        "Жёлтая кружка для чая", "Полка для книг в маленькую комнату", "Тихий будильник, светится в темноте",
    )),
    "Ukrainian": Language(("cp1251", "koi8-u"), (
        "Легкий стілець для дітей", "Дубовий стіл із двома шухлядами", "М'який килим ручної роботи",
        "Лампа для читання біля ліжка", "Каструля з нержавіючої сталі", "Дуже гострий ніж для хліба",
        "Міський велосипед з кошиком", "Жовте горнятко для чаю", "Полиця для книжок у маленьку кімнату",
        "Тихий будильник, який світиться в темряві",
    )),
    "Bulgarian": Language(("cp1251",), (
        "Лек стол за деца", "Дъбова маса с две чекмеджета", "Мек килим, ръчна изработка", "Лампа за четене до леглото",
        "Тенджера от неръждаема стомана", "Много остър нож за хляб", "Градски велосипед с кошница", "Жълта чаша за чай",
        "Рафт за книги в малка стая", "Тих будилник, който свети в тъмното",
    )),
    "Greek": Language(("cp1253", "iso8859-7", "mac_greek"), (
        "Ελαφριά καρέκλα για παιδιά", "Τραπέζι από ξύλο δρυός", "Μαλακό χαλί, φτιαγμένο στο χέρι",
        "Φωτιστικό για διάβασμα δίπλα στο κρεβάτι", "Κατσαρόλα από ανοξείδωτο ατσάλι", "Πολύ κοφτερό μαχαίρι για ψωμί",
        "Ποδήλατο πόλης με καλάθι", "Κίτρινη κούπα για τσάι", "Ράφι βιβλίων για μικρό δωμάτιο",
        "Αθόρυβο ξυπνητήρι που φωτίζει στο σκοτάδι",
    )),
    "Hebrew": Language(("cp1255",), (
        "כיסא קל לילדים", "שולחן מעץ אלון עם שתי מגירות", "שטיח רך בעבודת יד", "מנורת קריאה ליד המיטה",
        "סיר מפלדת אל חלד עם מכסה", "סכין לחם חדה מאוד", "אופני עיר עם סל", "ספל צהוב לתה",
    )),
    "Arabic": Language(("cp1256", "iso8859-6", "cp720"), (
        "كرسي خفيف للأطفال", "طاولة من خشب البلوط", "سجادة ناعمة مصنوعة يدويا", "مصباح للقراءة بجانب السرير",
        "قدر من الفولاذ المقاوم للصدأ", "سكين حاد جدا للخبز", "دراجة للمدينة مع سلة", "كوب أصفر للشاي",
    )),
    "Thai": Language(("cp874", "tis-620"), (
        "เก้าอี้เบาสำหรับเด็ก", "โต๊ะไม้โอ๊คพร้อมลิ้นชักสองช่อง", "พรมนุ่มทอด้วยมือ", "โคมไฟอ่านหนังสือข้างเตียง",
        "หม้อสแตนเลสพร้อมฝาปิด", "มีดหั่นขนมปังคมมาก", "จักรยานในเมืองพร้อมตะกร้า", "แก้วสีเหลืองสำหรับชา",
    )),
    "Vietnamese": Language(("cp1258",), (
        "Ghế nhẹ cho trẻ em", "Bàn gỗ sồi có hai ngăn kéo", "Thảm mềm dệt bằng tay", "Đèn đọc sách cạnh giường",
        "Nồi thép không gỉ có nắp", "Dao cắt bánh mì rất sắc", "Xe đạp thành phố có giỏ", "Cốc màu vàng để uống trà",
    )),
    "Japanese": Language(("shift_jis", "euc_jp", "iso2022_jp"), (
        "子供用の軽い椅子です", "引き出しが二つあるオーク材のテーブル", "手織りの柔らかい絨毯", "ベッドの横に置く読書灯",
        "蓋付きのステンレス鍋", "とてもよく切れるパン切り包丁", "かご付きの街乗り自転車", "お茶のための黄色いカップ",
    )),
    "Chinese": Language(("gb18030", "gbk"), (
        "适合儿童的轻便椅子", "带两个抽屉的橡木桌", "手工编织的柔软地毯", "床边阅读灯，光线柔和", "带盖的不锈钢锅",
        "非常锋利的面包刀", "带篮子的城市自行车", "喝茶用的黄色杯子",
    )),
    "Chinese, traditional": Language(("big5",), (
        "適合兒童的輕便椅子", "有兩個抽屜的橡木桌", "手工編織的柔軟地毯", "床邊閱讀燈，光線柔和", "有蓋的不鏽鋼鍋",
        "非常鋒利的麵包刀", "有籃子的城市自行車", "喝茶用的黃色杯子",
    )),
    "Korean": Language(("cp949", "euc_kr", "johab"), (
        "아이들을 위한 가벼운 의자", "서랍이 두 개 있는 참나무 탁자", "손으로 짠 부드러운 양탄자", "침대 옆 독서등",
        "뚜껑이 있는 스테인리스 냄비", "아주 날카로운 빵칼", "바구니가 달린 도시형 자전거", "차를 위한 노란 컵",
    )),
}  # fmt: skip
