# Read by the steps that move the current link.
# shellcheck shell=sh

point_current_to() { # at no moment is there no link
    ln -sfn "$1" "$SITE_PATH/.current.$UPGRADE" && mv -fT "$SITE_PATH/.current.$UPGRADE" "$SITE_PATH/current"
}
