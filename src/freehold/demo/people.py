"""Names for made-up users, in the scripts that real tenants have."""

# Given names, family names, and the spelling that ends up in an address.
NAMES: tuple[tuple[tuple[str, str], ...], ...] = (
    (("Ada", "ada"), ("Grace", "grace"), ("Miriam", "miriam"), ("Owen", "owen"), ("Tobias", "tobias")),
    (("José", "jose"), ("Zoë", "zoe"), ("Søren", "soren"), ("Łucja", "lucja"), ("Çağla", "cagla")),
    (("Анна", "anna"), ("Дмитро", "dmytro"), ("Ευγενία", "evgenia"), ("Γιώργος", "giorgos"), ("Нино", "nino")),
    (("فاطمة", "fatima"), ("يوسف", "yusuf"), ("שירה", "shira"), ("אורי", "uri"), ("مریم", "maryam")),
    (("王芳", "wangfang"), ("佐藤翔", "sato.sho"), ("김서연", "kim.seoyeon"), ("Nguyễn", "nguyen"), ("ลดา", "lada")),
    (("आरती", "aarti"), ("রহিম", "rahim"), ("தமிழ்", "tamil"), ("සුනිල්", "sunil"), ("ლევან", "levan")),
)
FAMILIES: tuple[tuple[tuple[str, str], ...], ...] = (
    (("Lovelace", "lovelace"), ("O'Brien", "obrien"), ("van der Berg", "vdberg"), ("Smith-Jones", "smithjones")),
    (("García", "garcia"), ("Müller", "mueller"), ("Żak", "zak"), ("Þórsdóttir", "thorsdottir")),
    (("Иванова", "ivanova"), ("Шевченко", "shevchenko"), ("Παπαδοπούλου", "papadopoulou"), ("ბერიძე", "beridze")),
    (("الحسن", "alhassan"), ("כהן", "cohen"), ("رضایی", "rezaei"), ("منصور", "mansour")),
    (("李", "li"), ("田中", "tanaka"), ("박", "park"), ("Trần", "tran")),
    (("शर्मा", "sharma"), ("চৌধুরী", "chowdhury"), ("குமார்", "kumar"), ("පෙරේරා", "perera")),
)
