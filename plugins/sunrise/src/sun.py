"""When the sun rises and sets, by the sunrise equation; good to about two minutes outside of the polar circles."""

from math import acos, asin, cos, degrees, floor, radians, sin

DAY_MS = 86_400_000
# The Julian date of 1970-01-01T00:00:00Z, and of the epoch J2000.
UNIX_EPOCH = 2440587.5
J2000 = 2451545.0
# The sun is said to rise when its upper edge is seen, which the air lifts a little.
HORIZON = radians(-0.833)


def instant(day, latitude, longitude, event):
    """Milliseconds since 1970 of that event on the solar day of that number, or None where there is none."""
    cycle = day - longitude / 360
    anomaly = radians((357.5291 + 0.98560028 * cycle) % 360)
    centre = 1.9148 * sin(anomaly) + 0.0200 * sin(2 * anomaly) + 0.0003 * sin(3 * anomaly)
    ecliptic = radians((degrees(anomaly) + centre + 180 + 102.9372) % 360)
    transit = J2000 + 0.0009 + cycle + 0.0053 * sin(anomaly) - 0.0069 * sin(2 * ecliptic)
    declination = asin(sin(ecliptic) * sin(radians(23.4397)))
    up, along = sin(radians(latitude)) * sin(declination), cos(radians(latitude)) * cos(declination)
    # The sun stays above or below the horizon all day.
    if along <= 0 or abs(sin(HORIZON) - up) > along:
        return None
    angle = degrees(acos((sin(HORIZON) - up) / along)) / 360
    julian = transit - angle if event == "sunrise" else transit + angle
    # Whole seconds: more would say more than is known.
    return round((julian - UNIX_EPOCH) * 86_400) * 1000


def day_of(at):
    """The solar day that an instant lies in, counted from J2000."""
    return floor(at / DAY_MS + UNIX_EPOCH - J2000)
