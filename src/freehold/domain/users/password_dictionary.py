"""The dictionary of passwords that are refused where a connection asks for it.

Small on purpose: the most common ones of published lists, in lower case. Auth0 has lists of 10,000 and 100,000 words
(`en_10k`, `en_100k`); both names get this one, and a tenant adds words of its own.
"""

COMMON_PASSWORDS = frozenset(
    """
    000000 00000000 0123456789 0987654321 101010 111111 11111111 1111111111 112233 11223344 121212 123123 123123123
    123321 1234 12345 123456 1234567 12345678 123456789 1234567890 12345678910 123456a 123456789a 1234qwer 123654
    123abc 123qwe 12qwaszx 131313 142536 147258 147258369 159357 159753 1a2b3c4d 1q2w3e 1q2w3e4r 1q2w3e4r5t 1qaz2wsx
    1qazxsw2 222222 232323 252525 333333 444444 54321 555555 654321 666666 696969 753951 7777777 777777 87654321
    88888888 888888 987654 987654321 999999 a123456 a12345678 aa123456 aaaaaa aaaaaaaa abc123 abcd1234 abcdef
    abcdefg abcdefgh access admin admin123 administrator adobe123 alexander amanda andrea andrew angel angela
    anthony apple arsenal asdasd asdf asdf1234 asdfasdf asdfgh asdfghjk asdfghjkl ashley austin azerty babygirl
    bailey banana barcelona baseball basketball batman beautiful blahblah blink182 bond007 brandon bubbles buster
    butterfly changeme charlie cheese chelsea chicken chocolate computer cookie corvette cowboy dallas daniel
    default diamond donald dragon dragon123 eagles einstein elephant eminem enter family ferrari flower football
    football1 forever freedom friends gandalf george ginger google guest gundam hannah harley heather hello hello123
    hellokitty hockey hunter hunter2 iloveu iloveyou iloveyou1 internet jackson jasmine jennifer jessica jesus
    johnny jordan jordan23 joshua junior justin killer klaster ladybug letmein letmein1 liverpool login london
    loveme lovely lovers maggie master matrix matthew maverick melissa mercedes merlin michael michelle midnight
    money monkey monkey123 monster mustang mynoob naruto nicole nothing orange p@ssw0rd p@ssword pass pass123
    pass1234 passw0rd password password! password1 password1! password12 password123 password1234 patrick peanut
    pepper pokemon princess princess1 purple q1w2e3r4 q1w2e3r4t5 qazwsx qazwsxedc qq123456 qwer1234 qwerty qwerty1
    qwerty12 qwerty123 qwerty1234 qwertyui qwertyuiop rachel ranger richard robert root samantha samsung secret
    secret123 shadow snoopy soccer softball spiderman starwars steelers summer sunshine superman superstar taylor
    tennis test test123 test1234 testing thomas thunder tigger tinkle toor trustno1 trump2020 tweety user vanessa
    victoria welcome welcome1 welcome123 whatever whatever1 william winner winter xbox360 yankees zaq12wsx zaq1zaq1
    zxcvbn zxcvbnm zxcvbnm123
    """.split()  # noqa: SIM905 - a list of words reads as words
)
