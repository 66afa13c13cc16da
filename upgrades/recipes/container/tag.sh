# Read by the steps that read or write the tag in the site's .env.
# shellcheck shell=sh

written_tag() {
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            "$TAG_VARIABLE="*) printf '%s\n' "${line#*=}" | tr -d "\"' \r" ;;
        esac
    done <"$SITE_PATH/.env" | tail -n 1
}

write_tag() { # in one move, so that at no moment is there half a file; its owner and mode stay
    new=$SITE_PATH/.env.$UPGRADE
    cp -p "$SITE_PATH/.env" "$new" || return 1
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            "$TAG_VARIABLE="*) printf '%s=%s\n' "$TAG_VARIABLE" "$1" ;;
            *) printf '%s\n' "$line" ;;
        esac
    done <"$SITE_PATH/.env" >"$new" && mv -f "$new" "$SITE_PATH/.env"
}
